"""Times of frames."""

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TypeVar

T = TypeVar('T')

MAX_HELD = 16
"""Most frames buffered while timestamps are missing."""


def fill_times(
    items: Iterable[tuple[T, Fraction | None]], step: Fraction
) -> Iterator[tuple[T, Fraction]]:
    """Give every item a time, in increasing order.

    A time that is missing, or not later than the one before, is interpolated between
    its neighbours. Without a neighbour on one side, or with one more than ``MAX_HELD``
    items away, times continue in steps of ``step``.

    Args:
        items (Iterable[tuple[T, Fraction | None]]): Items with their times in seconds.
        step (Fraction): Usual time from one item to the next, in seconds.

    Yields:
        tuple[T, Fraction]: The items with their times; the first is 0 if none is known.
    """
    held = deque()
    last = None

    def release(gap: Fraction) -> Iterator[tuple[T, Fraction]]:
        nonlocal last
        if last is None:
            last = -gap
        while held:
            last += gap
            yield held.popleft(), last

    for item, time in items:
        held.append(item)
        if time is not None and (last is None or time > last):
            if last is None:
                last = time - step * len(held)
            yield from release((time - last) / len(held))
        elif len(held) > MAX_HELD:
            yield from release(step)
    yield from release(step)
