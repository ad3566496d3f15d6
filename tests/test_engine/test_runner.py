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


def test_settings_of_workers_are_ignored_where_there_are_none():
    config = dict(
        batch_size=1,
        num_workers=0,
        persistent_workers=True,
        prefetch_factor=4,
        timeout=60,
        multiprocessing_context='spawn',
        dataset=range(4),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    loader = SafeRunner.build_dataloader(config)
    assert [batch[0] for batch in loader] == [0, 1, 2, 3]
    assert config['persistent_workers']
    loader = SafeRunner.build_dataloader({**config, 'num_workers': 1})
    assert loader.persistent_workers and loader.prefetch_factor == 4
