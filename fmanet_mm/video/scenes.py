"""Scene cuts."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

import cv2
import numpy as np

from .frames import TimedFrame

SCENE_CUT = 0.05
"""How much more a frame must change at a scene cut than before and after it.

Mean absolute grey value in [0, 1]. In real clips it is above 0.1 at cuts, and below
0.02 elsewhere.
"""


class SceneCutDetector:
    """Finds scene cuts in a stream of frames, one frame late.

    At a cut the picture changes much more than just before and just after it: the
    change has a spike. Fast motion changes it as much, but over several frames; a flash
    changes it twice in a row. The change is the mean absolute difference of grey
    values.

    Args:
        threshold (float): By how much the change must exceed both its neighbours, in
            [0, 1].
    """

    def __init__(self, threshold: float = SCENE_CUT) -> None:
        self.threshold = threshold
        self._last = None
        self._changes = (0.0, 0.0)

    def feed(self, image: np.ndarray) -> bool:
        """Take the next frame.

        Args:
            image (np.ndarray): (H, W, 3), RGB, uint8 or uint16.

        Returns:
            bool: Whether the frame before it begins another shot; False for the first.
        """
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        change = 0.0
        if self._last is not None:
            white = np.iinfo(grey.dtype).max
            change = cv2.norm(self._last, grey, cv2.NORM_L1) / grey.size / white
        self._last = grey
        return self._advance(change)

    def finish(self) -> bool:
        """Return whether the last frame begins another shot."""
        return self._advance(0.0)

    def _advance(self, after: float) -> bool:
        before, change = self._changes
        self._changes = change, after
        return change - max(before, after) > self.threshold


def mark_scene_cuts(
    frames: Iterable[TimedFrame],
) -> Iterator[tuple[TimedFrame, bool]]:
    """Mark the frames that begin another shot.

    Args:
        frames (Iterable[TimedFrame]): Frames of one size. They are read one ahead of
            the result; if they end with an error, all frames before it are still given.

    Yields:
        tuple[TimedFrame, bool]: Every frame, and whether another shot begins with it;
        False for the first.
    """
    detector = SceneCutDetector()
    held = None
    try:
        for frame in frames:
            begins = detector.feed(frame.image)
            if held is not None:
                yield held, begins
            held = frame
    except ValueError:
        if held is not None:
            yield held, detector.finish()
        raise
    if held is not None:
        yield held, detector.finish()


def split_shots(frames: Iterable[TimedFrame]) -> Iterator[Iterator[TimedFrame]]:
    """Split a video into its shots, in constant memory.

    As with :func:`itertools.groupby`, a shot is lost once the next one is requested.

    Args:
        frames (Iterable[TimedFrame]): As for :func:`mark_scene_cuts`.

    Yields:
        Iterator[TimedFrame]: The frames of each shot, at least one.
    """
    for _, shot in groupby(number_shots(frames), itemgetter(0)):
        yield map(itemgetter(1), shot)


def number_shots(
    frames: Iterable[TimedFrame],
) -> Iterator[tuple[int, TimedFrame]]:
    """Pair frames with the number of their shot, counted from 0.

    Args:
        frames (Iterable[TimedFrame]): As for :func:`mark_scene_cuts`.
    """
    shot = 0
    for frame, begins in mark_scene_cuts(frames):
        shot += begins
        yield shot, frame
