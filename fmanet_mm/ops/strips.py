"""Exact computation of large frames on horizontal strips.

A function that reads at most ``halo`` rows above and below each row it writes gives
the same rows on a strip as on the whole frame, if the strip brings that many rows of
its surroundings with it. Only one strip's temporaries exist at a time. At the frame's
own borders the strip ends where the frame ends, so that padding is the same as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# Found with benchmarks/benchmark.py: 36 to 60 rows are best for frames of 180x320.
_FAST_PIXELS = 13_000
_LEAST_FAST_ROWS = 24

_LEAST_ROWS = 8
"""Lower strips are mostly surroundings."""


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

    def write(
        self, x: Tensor, frame: Tensor | None, height: int, scale: int = 1
    ) -> Tensor:
        """Write the strip of what was made from :meth:`read` into a frame.

        Args:
            x (Tensor): ``scale`` times as large as what was read.
            frame (Tensor, optional): Where to; None: a new one, channels last in
                memory, or ``x`` itself if the strip is the frame.
            height (int): Rows of the frame, H.
            scale (int): Ratio of output to input height.

        Returns:
            Tensor: The frame, (..., C, scale*H, W).
        """
        if self.bottom - self.top == height:
            return x
        part = self.crop(x, scale)
        if frame is None:
            frame = _empty_frame(part, scale * height)
        frame[..., scale * self.top : scale * self.bottom, :] = part
        return frame


@dataclass(frozen=True)
class Strips:
    """How high the strips are on which a network computes its frames.

    Where gradients are recorded or the network is exported, frames stay whole.

    Args:
        rows (int, optional): Rows of a strip; None: whole frames.

    Raises:
        ValueError: If ``rows`` is not positive.
    """

    rows: int | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.rows < 1:
            raise ValueError(f'a strip must have at least 1 row, got {self.rows}')

    @classmethod
    def fastest(cls, height: int, width: int, device: torch.device) -> 'Strips':
        """The strips that are computed fastest.

        On a CPU a strip's temporaries stay in the caches, and the system need not
        hand out and take back their memory all the time. A GPU is fastest with whole
        frames.

        Args:
            height (int): Rows of the frames, H.
            width (int): Their columns, W.
            device (torch.device): Where they are.
        """
        if torch.compiler.is_exporting():
            return cls()
        rows = max(_LEAST_FAST_ROWS, _FAST_PIXELS // width)
        return cls(rows if device.type == 'cpu' and rows < height else None)

    def halved(self, height: int) -> 'Strips | None':
        """Strips half as high, for when memory ran out.

        Args:
            height (int): Rows of the frames, H.

        Returns:
            Strips | None: None if they would be too low.
        """
        rows = -(-(self.rows or height) // 2)
        return Strips(rows) if rows >= _LEAST_ROWS else None

    def split(
        self, height: int, halo: int, max_rows: int | None = None
    ) -> Sequence[Strip]:
        """Cut a frame.

        Args:
            height (int): Rows of the frame, H.
            halo (int): Rows of surroundings that a strip needs above and below.
            max_rows (int, optional): Most rows of a strip, even of whole frames.
        """
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            return [Strip(0, height, 0, height)]
        step = min(filter(None, [height, self.rows, max_rows]))
        return [
            Strip(top, bottom, max(top - halo, 0), min(bottom + halo, height))
            for top in range(0, height, step)
            for bottom in (min(top + step, height),)
        ]

    def map(
        self,
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
            max_rows (int, optional): See :meth:`split`.

        Returns:
            Tensor: Channels last in memory, if there is more than one strip.
        """
        height = inputs[0].size(-2)
        out = None
        for strip in self.split(height, halo, max_rows):
            part = function(*map(strip.read, inputs))
            out = strip.write(part, out, height, scale)
        return out


WHOLE_FRAMES = Strips()


def _empty_frame(part: Tensor, height: int) -> Tensor:
    *leading, channels, _, width = part.shape
    return part.new_empty((*leading, height, width, channels)).movedim(-1, -3)
