"""Exact computation of large frames on horizontal strips.

A function that reads at most ``halo`` rows above and below each row it writes gives
the same rows on a strip of the frame as on the whole frame, if the strip brings that
many rows of its surroundings with it. Only the strip's temporaries exist at a time.
At the frame's own borders the strip ends where the frame ends, so that padding is the
same as well.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

# Found with benchmark.py: strips of 36 to 60 rows are best for frames of 180x320.
_FAST_PIXELS = 13_000
_LEAST_FAST_ROWS = 24


class _Settings(threading.local):
    # A ContextVar would do as well, but torch.compile cannot read it.
    rows: int | None = None
    at_most: int | None = None


_settings = _Settings()


@contextmanager
def strips(rows: int | None, at_most: int | None = None):
    """Let local functions work on strips of so many rows; None: the whole frame.

    Has no effect where gradients are recorded or the network is exported; what
    torch.compile has followed keeps to the strips it was followed with.

    Args:
        rows (int, optional): Rows of a strip.
        at_most (int, optional): Compute only so many of a frame's strips and leave the
            other rows as they are: to see what strips take, not for a result.

    Raises:
        ValueError: If ``rows`` is not positive.
    """
    if rows is not None and rows < 1:
        raise ValueError(f'a strip must have at least 1 row, got {rows}')
    outer = _settings.rows, _settings.at_most
    _settings.rows, _settings.at_most = rows, at_most
    try:
        yield
    finally:
        _settings.rows, _settings.at_most = outer


@contextmanager
def fast_strips(frames: Tensor):
    """Let local functions work on the strips that are computed fastest.

    Has no effect within :func:`strips` of a certain height.

    Args:
        frames (Tensor): What they work on, (..., H, W).
    """
    rows = _settings.rows
    if rows is None and not _needs_whole_frames():
        rows = fast_strip_rows(*frames.shape[-2:], frames.device)
    with strips(rows, _settings.at_most):
        yield


def fast_strip_rows(height: int, width: int, device: torch.device) -> int | None:
    """The height of strips that is computed fastest.

    On a CPU, the temporaries of a strip stay in the caches, and the system need not
    give and take their memory again and again; too low a strip is mostly surroundings.
    A GPU is fastest with whole frames.

    Returns:
        int | None: None for whole frames.
    """
    rows = max(_LEAST_FAST_ROWS, _FAST_PIXELS // width)
    return rows if device.type == 'cpu' and rows < height else None


def _needs_whole_frames() -> bool:
    return torch.is_grad_enabled() or torch.compiler.is_exporting()


class Strip(NamedTuple):
    """Rows ``top`` to ``bottom`` of a frame, and ``begin`` to ``end`` around them."""

    top: int
    bottom: int
    begin: int
    end: int

    def read(self, x: Tensor) -> Tensor:
        """The strip and its surroundings of (..., H, W)."""
        return x[..., self.begin : self.end, :]

    def crop(self, x: Tensor, scale: int = 1) -> Tensor:
        """The strip of what was made, ``scale`` times as large, from :meth:`read`."""
        first = scale * (self.top - self.begin)
        return x[..., first : first + scale * (self.bottom - self.top), :]


def split_rows(height: int, halo: int, max_rows: int | None = None) -> list[Strip]:
    """The strips of a frame; one, unless :func:`strips` or ``max_rows`` ask for more.

    Args:
        height (int): Rows of the frame, H.
        halo (int): Rows of surroundings that a strip needs above and below.
        max_rows (int, optional): Most rows of a strip, whatever :func:`strips` says.
    """
    if _needs_whole_frames():
        return [Strip(0, height, 0, height)]
    tops = range(0, height, min(filter(None, [height, _settings.rows, max_rows])))
    return [
        Strip(top, bottom, max(top - halo, 0), min(bottom + halo, height))
        for top in tops[: _settings.at_most]
        for bottom in (min(top + tops.step, height),)
    ]


def by_strips(
    function: Callable[..., Tensor],
    *inputs: Tensor,
    halo: int,
    scale: int = 1,
    max_rows: int | None = None,
) -> Tensor:
    """Compute ``function(*inputs)`` strip by strip.

    Args:
        function (Callable): Maps arrays of (..., H, W) to one of
            (..., C, scale*H, scale*W).
        inputs (Tensor): Arrays of (..., H, W), of the same H.
        halo (int): Rows above and below that an output row depends on.
        scale (int): Ratio of output to input height.
        max_rows (int, optional): See :func:`split_rows`.

    Returns:
        Tensor: Channels last in memory, if there is more than one strip.
    """
    height = inputs[0].size(-2)
    parts = split_rows(height, halo, max_rows)
    if parts[0].bottom == height:
        return function(*inputs)
    out = None
    with strips(None):
        for strip in parts:
            part = strip.crop(function(*map(strip.read, inputs)), scale)
            if out is None:
                out = _empty_frame(part, scale * height)
            out[..., scale * strip.top : scale * strip.bottom, :] = part
    return out


def _empty_frame(part: Tensor, height: int) -> Tensor:
    *leading, channels, _, width = part.shape
    return part.new_empty((*leading, height, width, channels)).movedim(-1, -3)
