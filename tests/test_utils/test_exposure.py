"""Levels of exposure and their random walks."""

import pytest

from fmanet_mm.utils.exposure import check_levels, level_at, level_name, walk_levels

WALK_3 = [(3, 28), (2, 21), (3, 14), (4, 7), (3, 7), (4, 7), (3, 7), (2, 7), (3, 2)]


def runs(levels):
    """The walk in short: (level, number of frames) of every stretch."""
    found = []
    for level in levels:
        if found and found[-1][0] == level:
            found[-1][1] += 1
        else:
            found.append([level, 1])
    return [tuple(run) for run in found]


def test_walks_are_the_same_everywhere():
    """Pinned: a benchmark is chosen by its seed."""
    assert runs(walk_levels(3, 100)) == WALK_3
    assert walk_levels((0, 7), 12) == [1] * 12


@pytest.mark.parametrize('seed', range(40))
def test_a_walk_changes_by_one_level_after_an_interval(seed):
    levels = walk_levels(seed, 140)
    assert {*levels} <= {1, 2, 3, 4, 5}
    changes = [i for i in range(1, 140) if levels[i] != levels[i - 1]]
    assert all(abs(levels[i] - levels[i - 1]) == 1 for i in changes)
    assert any(all(i % interval == 0 for i in changes) for interval in (5, 7))


def test_walks_differ_and_reach_all_levels():
    walks = [walk_levels(seed, 100) for seed in range(40)]
    assert len({*map(tuple, walks)}) == 40
    assert {level for walk in walks for level in walk} == {1, 2, 3, 4, 5}
    assert {walk[0] for walk in walks} == {1, 2, 3, 4, 5}


def test_a_longer_walk_begins_like_a_shorter_one():
    long = walk_levels((1, 2), 2500)
    assert walk_levels((1, 2), 33) == long[:33]
    assert [level_at((1, 2), frame) for frame in (0, 999, 1000, 2499)] == [
        long[frame] for frame in (0, 999, 1000, 2499)
    ]


def test_level_names():
    assert level_name(3) == '5-3'


@pytest.mark.parametrize('levels', [(), (0, 1), (1, 6), (2, 2)])
def test_wrong_levels(levels):
    with pytest.raises(ValueError, match='levels must be different numbers from 1'):
        check_levels(levels)
