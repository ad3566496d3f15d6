from fractions import Fraction

import pytest

from fmanet_mm.video.timestamps import MAX_HELD, fill_times

STEP = Fraction(1, 10)


def fill(times):
    times = [None if time is None else Fraction(time) for time in times]
    return [(i, str(time)) for i, time in fill_times(enumerate(times), STEP)]


@pytest.mark.parametrize(
    ('times', 'expected'),
    [
        ([], []),
        ([3], ['3']),
        ([0, 1, 5, 6], ['0', '1', '5', '6']),
        ([None, None, None], ['0', '1/10', '1/5']),
        ([0, None, None, 3], ['0', '1', '2', '3']),
        ([0, None, 3, None, None, 4], ['0', '3/2', '3', '10/3', '11/3', '4']),
        ([None, None, 2, 3], ['9/5', '19/10', '2', '3']),
        ([2, None, None], ['2', '21/10', '11/5']),
        # Not growing.
        ([0, 1, 1, 2], ['0', '1', '3/2', '2']),
        ([0, 5, 2, 6], ['0', '5', '11/2', '6']),
        ([5, 0, 1], ['5', '51/10', '26/5']),
    ],
)
def test_missing_times_are_interpolated(times, expected):
    assert fill(times) == list(enumerate(expected))


def test_no_more_than_a_few_items_are_held():
    taken = 0

    def items():
        nonlocal taken
        for index in range(100):
            taken += 1
            yield index, None

    given = 0
    for item, time in fill_times(items(), STEP):
        assert (item, time) == (given, given * STEP)
        assert taken - given <= MAX_HELD + 1
        given += 1
    assert given == 100


def test_times_go_on_after_a_jump_backwards():
    times = [time for _, time in fill_times(enumerate([7, *range(50)]), STEP)]
    assert len(times) == 51
    assert all(a < b for a, b in zip(times, times[1:], strict=False))
