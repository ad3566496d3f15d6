"""Consecutive frames of a clip, and how several processes share them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import NamedTuple


class Span(NamedTuple):
    """Consecutive frames.

    Attributes:
        first (int): Number of the first frame.
        stop (float): Number of the first frame after them; inf for all frames up to the
            end of the clip.
    """

    first: int
    stop: float


ALL = Span(0, inf)
"""All frames of a clip."""


def missing(done: Iterable[Span], within: Span) -> list[Span]:
    """Frames that are left to do.

    Args:
        done (Iterable[Span]): Frames that are done, in order, without overlap.
        within (Span): Frames that are wanted.

    Returns:
        list[Span]: Those of ``within`` that are not in ``done``, in order.
    """
    gaps, first = [], within.first
    for span in done:
        if first < min(span.first, within.stop):
            gaps.append(Span(first, min(span.first, within.stop)))
        first = max(first, int(span.stop))
    if first < within.stop:
        gaps.append(Span(first, within.stop))
    return gaps


def count_frames(done: Iterable[Span], within: Span) -> int:
    """Number of frames of ``within`` that are done."""
    return sum(
        max(0, int(min(span.stop, within.stop)) - max(span.first, within.first))
        for span in done
    )


@dataclass(frozen=True)
class Part:
    """The part of a clip that one of several processes restores.

    Args:
        index (int): Number of the process, from 0.
        count (int): Number of processes.
        run (str): Name of the run, the same for its processes and for no other run.
        span (Span): Its frames; see :meth:`of`.

    Raises:
        ValueError: If ``index`` is not within ``count``.
    """

    index: int
    count: int
    run: str
    span: Span = ALL

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ValueError(
                f'index must be at least 0 and below count = {self.count}, got '
                f'{self.index}'
            )

    def of(self, num_frames: int, block: int) -> 'Part | None':
        """The part of a clip.

        Args:
            num_frames (int): Frames of the clip, about: the last part has all frames up
                to the end, however many there are.
            block (int): Frames that stay together.

        Returns:
            Part | None: With its ``span``, whose ends are multiples of ``block``; None
            if there are fewer blocks than processes and none is left for this one.
        """
        num_blocks = max(1, ceil(num_frames / block))
        first, stop = (
            block * (index * num_blocks // self.count)
            for index in (self.index, self.index + 1)
        )
        if first == stop:
            return None
        is_last = self.index == self.count - 1
        return replace(self, span=Span(first, inf if is_last else stop))
