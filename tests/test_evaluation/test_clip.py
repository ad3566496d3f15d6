"""Pairs are measured whatever the order and the process their frames come in."""

from itertools import permutations

import numpy as np
import pytest

from fmanet_mm.evaluation.clip import ClipMeasurement
from fmanet_mm.evaluation.measures import Measures


class CountingMeasures(Measures):
    """The difference of the frames' grey levels in place of their motion."""

    def __init__(self):
        super().__init__(['tOF'])
        self.pairs = []

    def of_frame(self, output, target):
        return dict(PSNR=float(target[0, 0, 0]))

    def of_pair(self, first, second):
        levels = int(first.target[0, 0, 0]), int(second.target[0, 0, 0])
        assert first.output[0, 0] == levels[0] + 100
        self.pairs.append(levels)
        return dict(tOF=float(levels[1] ** 2 - levels[0] ** 2))


def add(clip, places, measures):
    for place in places:
        frame = np.full((2, 2, 3), place, np.uint8)
        clip.add(place, frame + 100, frame, measures)


EXPECTED = {place: dict(PSNR=place, tOF=2 * place - 1) for place in range(2, 6)} | {
    1: dict(PSNR=1)
}


def test_any_order():
    for order in permutations(range(1, 6)):
        measures, clip = CountingMeasures(), ClipMeasurement()
        add(clip, order, measures)
        assert clip.values == EXPECTED, order
        assert sorted(measures.pairs) == [(1, 2), (2, 3), (3, 4), (4, 5)]


@pytest.mark.parametrize(
    'parts',
    [
        [(1, 2, 3), (4, 5, 5)],
        [(1, 3, 5), (2, 4, 1)],
        [(3, 4), (1, 5), (2,)],
        [(1, 2, 3, 4, 5), ()],
        [(1, 2, 3), (2, 3, 4), (3, 4, 5)],
        [(3, 5), (1, 2, 3, 4, 5)],
    ],
)
def test_any_process(parts):
    measures, whole = CountingMeasures(), ClipMeasurement()
    for places in parts:
        part = ClipMeasurement()
        add(part, places, measures)
        whole.merge(part, measures)
    assert whole.values == EXPECTED


def test_in_order_of_time_few_frames_are_kept():
    measures, clip = CountingMeasures(), ClipMeasurement()
    for place in range(20):
        add(clip, [place], measures)
        assert len(clip._waiting) <= 2
    clip.finish()
    assert not clip._waiting


def test_gaps_have_no_pair():
    clip = ClipMeasurement()
    add(clip, (1, 2, 4), CountingMeasures())
    assert [place for place, values in clip.values.items() if 'tOF' in values] == [2]


def test_sizes_must_agree():
    images = np.zeros((2, 3, 3), np.uint8), np.zeros((2, 4, 3), np.uint8)
    with pytest.raises(ValueError, match=r'\(2, 3\), but its target has \(2, 4\)'):
        ClipMeasurement().add(0, *images, CountingMeasures())
