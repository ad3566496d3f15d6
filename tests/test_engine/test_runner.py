import pytest

from fmanet_mm.engine.runner import SafeRunner


@pytest.mark.parametrize(
    ('config', 'timeout'),
    [
        (dict(num_workers=2), 600),
        (dict(num_workers=2, timeout=5), 5),
        (dict(num_workers=0), 0),
    ],
)
def test_workers_do_not_hang_forever(config, timeout):
    loader = SafeRunner.build_dataloader(
        dict(
            batch_size=1,
            dataset=range(4),
            sampler=dict(type='InfiniteSampler'),
            **config,
        )
    )
    assert loader.timeout == timeout
    assert SafeRunner.build_dataloader(loader) is loader
