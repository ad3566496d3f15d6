"""Frames as arrays."""

from fractions import Fraction
from typing import NamedTuple

import numpy as np


class TimedFrame(NamedTuple):
    """A frame and the time at which it is shown.

    Attributes:
        image (np.ndarray): (H, W, 3), RGB.
        time (Fraction): Seconds since the first frame of the complete video.
    """

    image: np.ndarray
    time: Fraction


def check_image(
    image: np.ndarray, name: str, size: tuple[int, int] | None = None
) -> None:
    """Raise a ValueError unless an array is a frame.

    Args:
        image (np.ndarray): Must be (H, W, 3), uint8 or uint16.
        name (str): What to call it in the message, such as ``'frame 3'``.
        size (tuple[int, int], optional): (H, W) of the frames before it.
    """
    if (
        image.dtype not in (np.uint8, np.uint16)
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        raise ValueError(
            f'{name} must be (H, W, 3) uint8 or uint16, got {image.shape} {image.dtype}'
        )
    if size is not None and image.shape[:2] != tuple(size):
        raise ValueError(
            f'{name} has (H, W) = {image.shape[:2]}, the frames before it have '
            f'{tuple(size)}; the frames of a clip must have one size'
        )
