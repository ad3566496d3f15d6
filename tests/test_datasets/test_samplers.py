import pytest
from mmagic.registry import DATA_SAMPLERS

from fmanet_mm.datasets import ContiguousSampler, samplers


def stretches(monkeypatch, length, world_size):
    found = []
    for rank in range(world_size):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info',
            lambda rank=rank: (rank, world_size),
        )
        sampler = samplers.ContiguousSampler(range(length))
        found.append([*sampler])
        assert len(sampler) == len(found[-1])
    return found


@pytest.mark.parametrize(
    'length, world_size, expected',
    [
        (4, 1, [[0, 1, 2, 3]]),
        (6, 2, [[0, 1, 2], [3, 4, 5]]),
        (7, 3, [[0, 1, 2], [3, 4, 4], [5, 6, 6]]),
        (1, 2, [[0], [0]]),
    ],
)
def test_stretches(monkeypatch, length, world_size, expected):
    assert stretches(monkeypatch, length, world_size) == expected


def test_mmengine_drops_exactly_what_comes_twice(monkeypatch):
    """It takes one result of each process in turn, and cuts to the length."""
    for length, world_size in ((7, 3), (10, 4), (98, 8), (3, 8)):
        rows = zip(*stretches(monkeypatch, length, world_size), strict=True)
        collected = [index for row in rows for index in row][:length]
        assert sorted(collected) == [*range(length)]


def test_registered():
    sampler = DATA_SAMPLERS.build(
        dict(type='ContiguousSampler'), default_args=dict(dataset=range(2), seed=3)
    )
    assert isinstance(sampler, ContiguousSampler)
    assert [*sampler] == [0, 1]


def test_some_samples_spread_over_the_dataset():
    sampler = ContiguousSampler(range(100), at_most=4)
    assert [*sampler] == [12, 37, 62, 87]
    assert len(sampler) == 4
    assert [*ContiguousSampler(range(3), at_most=4)] == [0, 1, 2]
    with pytest.raises(ValueError, match='at_most must be positive, got 0'):
        ContiguousSampler(range(3), at_most=0)
