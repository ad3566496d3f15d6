"""A short animation that shows a clip before and after."""

import io
from collections.abc import Sequence
from math import cos, pi
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ..utils.files import atomic_write

QUALITIES = (80, 65, 50, 35, 20, 10)
"""WebP's qualities to try, from best to smallest."""

LINE = (255, 255, 255)
"""Colour of the border between before and after."""

_LABEL_MARGIN = 6


def write_animation(
    path: str | PathLike,
    before: Sequence[np.ndarray],
    after: Sequence[np.ndarray],
    labels: tuple[str, str] = ('bicubic', 'restored'),
    fps: float = 12,
    max_bytes: int = 1_000_000,
) -> None:
    """Write a looping WebP animation in which a border sweeps over a clip.

    Left of the border is ``before``, right of it ``after``. The clip is played forwards
    and backwards, so that the loop has no jump.

    Args:
        path (str | PathLike): File to write; its folder is created if missing.
        before (Sequence[np.ndarray]): uint8 RGB frames of one shape (H, W, 3).
        after (Sequence[np.ndarray]): As many frames of the same shape.
        labels (tuple[str, str]): What to call them.
        fps (float): Frames per second.
        max_bytes (int): Largest size of the file; the quality is reduced for it.

    Raises:
        ValueError: If the clips do not fit each other, or ``max_bytes`` is too small
            for the lowest quality.
    """
    shapes = {frame.shape for clip in (before, after) for frame in clip}
    if len(before) != len(after) or len(shapes) != 1:
        raise ValueError(
            'before and after must have as many frames of one shape, got '
            f'{len(before)} and {len(after)} frames, shapes {sorted(shapes)}'
        )
    there = [*range(len(before))]
    order = there + there[-2:0:-1]
    pictures = [
        _combine(before[index], after[index], position, labels)
        for index, position in zip(order, _positions(len(order)), strict=True)
    ]
    data = _encode(pictures, fps, max_bytes)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(Path(path)) as draft:
        draft.write_bytes(data)


def _positions(number: int) -> list[float]:
    """Where the border is, from 0.1 to 0.9 of the width and back."""
    return [0.5 - 0.4 * cos(2 * pi * step / number) for step in range(number)]


def _combine(
    before: np.ndarray, after: np.ndarray, position: float, labels: tuple[str, str]
) -> Image.Image:
    height, width = before.shape[:2]
    border = round(position * width)
    image = after.copy()
    image[:, :border] = before[:, :border]
    image[:, max(border - 1, 0) : border + 1] = LINE
    picture = Image.fromarray(image)
    canvas = ImageDraw.Draw(picture)
    for label, x, anchor in (
        (labels[0], _LABEL_MARGIN, 'ls'),
        (labels[1], width - _LABEL_MARGIN, 'rs'),
    ):
        canvas.text(
            (x, height - _LABEL_MARGIN),
            label,
            fill='white',
            anchor=anchor,
            stroke_width=2,
            stroke_fill='black',
        )
    return picture


def _encode(pictures: list[Image.Image], fps: float, max_bytes: int) -> bytes:
    for quality in QUALITIES:
        file = io.BytesIO()
        pictures[0].save(
            file,
            'WEBP',
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / fps),
            loop=0,
            quality=quality,
        )
        if file.tell() <= max_bytes:
            return file.getvalue()
    raise ValueError(
        f'{len(pictures)} frames of {pictures[0].size} pixels take {file.tell():,} '
        f'bytes at the lowest quality, more than max_bytes = {max_bytes:,}; take fewer '
        'or smaller frames'
    )
