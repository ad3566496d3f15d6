"""Frames too small to keep a GPU busy, encoded and refined several at once.

Encoded frames of a batch are a nesting of tuples and lists of tensors, (N, ...).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

Item = TypeVar('Item')

BATCH_PIXELS = 180 * 320
"""LR pixels of a batch on a GPU, about; larger frames are computed one by one."""

MOST_FRAMES = 8
"""Frames of a batch at most; more would delay a stream for little."""


def fastest_batch(height: int, width: int, device: torch.device) -> int:
    """Frames to compute at once: :data:`BATCH_PIXELS` on a GPU, one frame on a CPU.

    Args:
        height (int): Rows of the frames, H.
        width (int): Their columns, W.
        device (torch.device): Where they are.
    """
    if device.type == 'cpu':
        return 1
    return min(max(round(BATCH_PIXELS / (height * width)), 1), MOST_FRAMES)


def in_batches(
    items: Iterable[Item], batch_size: Callable[[], int]
) -> Iterator[list[Item]]:
    """Collect items; the last batch may be smaller.

    Args:
        items (Iterable): Read no further than the next batch needs.
        batch_size (Callable): Gives the size, from the first item on.

    Raises:
        Exception: What reading the items raises, after the items before it.
    """
    batch: list[Item] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) >= batch_size():
                yield batch
                batch = []
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def stack_frames(frames: Sequence[Tensor]) -> Tensor:
    """Stack frames, each (3, H, W), to (N, 3, H, W)."""
    return frames[0].unsqueeze(0) if len(frames) == 1 else torch.stack(tuple(frames))


def stack_windows(windows: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Make a window of batches of consecutive windows.

    The windows share most of their frames, each of which is copied once.

    Args:
        windows (Sequence[Sequence[Any]]): N windows of T encoded frames; each begins
            with the second frame of the one before it.

    Returns:
        tuple[Any]: T batches of N encoded frames.
    """
    first, *others = windows
    if not others:
        return tuple(first)
    frames = *first, *(window[-1] for window in others)
    run = tree_map(lambda *tensors: torch.cat(tensors), *frames)
    return tuple(_part(run, start, len(windows)) for start in range(len(first)))


def split_batch(batch: Any, count: int) -> list[Any]:
    """The first frames of a batch, as batches of one that share its memory."""
    return [_part(batch, start, 1) for start in range(count)]


def _part(batch: Any, start: int, count: int) -> Any:
    return tree_map(lambda x: x[start : start + count], batch)
