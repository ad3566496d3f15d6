"""Limits on how much of a video is read."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Caps that keep a damaged or hostile file from taking all memory or time.

    They are checked against the file's header before anything is decoded, and against
    the frames themselves.

    Args:
        max_pixels (int, optional): Largest H * W of a frame. None allows any.
        max_seconds (float, optional): Longest time from the start of the video to the
            end of what is read. None allows any.

    Raises:
        ValueError: If a limit is not positive.
    """

    max_pixels: int | None = 8192 * 8192
    max_seconds: float | None = 24 * 60 * 60

    def __post_init__(self) -> None:
        for name in ('max_pixels', 'max_seconds'):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f'{name} must be positive or None, got {value}')

    def check_size(self, path: Path, height: int, width: int) -> None:
        """Raise a ValueError if frames of this size are too large."""
        if self.max_pixels is not None and height * width > self.max_pixels:
            raise ValueError(
                f'{path} has frames of (H, W) = {(height, width)}, more than '
                f'max_pixels = {self.max_pixels}; raise it (--max-pixels, or limits '
                'with a larger max_pixels) if that is right'
            )

    def check_duration(self, path: Path, seconds: Fraction) -> None:
        """Raise a ValueError if the clip is longer than ``max_seconds``."""
        if self.max_seconds is not None and float(seconds) > self.max_seconds:
            raise ValueError(
                f'{path} lasts {float(seconds):g} s, more than max_seconds = '
                f'{self.max_seconds}; pass an end, or raise it (--max-seconds, or '
                'limits with a larger max_seconds) if that is right'
            )
