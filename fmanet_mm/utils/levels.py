"""Passing the frames of a clip through levels, each frame once on every level."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

Compute = Callable[..., Any]
"""Calls a function of the network with arguments, and with strips as the last one."""


def restore_by_levels(
    network: Any, frames: Iterable[Tensor], compute: Compute
) -> Iterator[Tensor]:
    """Restore a clip of any length in constant memory.

    Args:
        network (LevelNetwork): In evaluation mode; see
            :class:`~fmanet_mm.restoration.LevelNetwork`.
        frames (Iterable[Tensor]): Each (1, 3, H, W).
        compute (Callable): See :data:`Compute`.

    Yields:
        Tensor: The restored frames, (1, 3, sH, sW).
    """
    states = (compute(network.encode, frame) for frame in frames)
    return pass_levels(network, states, compute)


def pass_levels(
    network: Any, states: Iterable[Any], compute: Compute
) -> Iterator[Tensor]:
    """Restore the frames of a clip that are encoded already.

    Each level is an iterator that is one frame ahead of what it gives, so a frame is
    restored when the L-th frame after it has come. A level keeps at most a frame and
    the features of its two neighbours.

    Args:
        network (LevelNetwork): See :func:`restore_by_levels`.
        states (Iterable[LevelState]): Of the frames, on level 0.
        compute (Callable): See :data:`Compute`.

    Yields:
        Tensor: The restored frames, (1, 3, sH, sW).
    """
    states = iter(states)
    for level in range(network.num_levels):
        states = _advance(network, level, states, compute)
    # Nothing here keeps a state, as a loop variable would.
    return map(partial(compute, network.decode), states)


def _advance(
    network: Any, level: int, states: Iterator[Any], compute: Compute
) -> Iterator[Any]:
    previous, current = None, next(states, None)
    while current is not None:
        following = next(states, None)
        own = current.feature
        advanced = compute(
            network.advance,
            level,
            current,
            network.beyond_end(own) if previous is None else previous,
            network.beyond_end(own) if following is None else following.feature,
        )
        # Only its feature is read once more; so the rest is released.
        previous, current = own, following
        yield advanced
