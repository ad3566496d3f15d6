"""Exposure levels: how long the shutter is open in each frame."""

from functools import lru_cache

import numpy as np

EXPOSURE_LEVELS = 5
"""Levels 5:1 to 5:5; at level N the shutter is open for N/5 of the frame time."""

GT_TIME = 2 / EXPOSURE_LEVELS
"""Instant of the sharp frame, in frame times after the exposures begin.

In REDS it is the third of five frames, the middle of an exposure at level 4.
"""

WALK_INTERVALS = (5, 7)
"""Numbers of frames from one change of the level to the next, one of them per clip."""

_CACHED_LENGTH = 1000


def level_name(level: int) -> str:
    """Name of the folder that holds the frames of a level, ``'5-3'``."""
    return f'{EXPOSURE_LEVELS}-{level}'


def check_levels(levels: tuple[int, ...]) -> None:
    """Raise unless these are levels, each at most once.

    Raises:
        ValueError: If there are none, one is out of range or repeated.
    """
    known = range(1, EXPOSURE_LEVELS + 1)
    if not levels or len({*levels}) < len(levels) or not {*levels} <= {*known}:
        raise ValueError(
            f'levels must be different numbers from 1 to {EXPOSURE_LEVELS}, got '
            f'{tuple(levels)}'
        )


def walk_levels(seed: int | tuple[int, ...], length: int) -> list[int]:
    """Let the exposure of a clip change at random, like REDS-RE of FMA-Net++.

    The walk has a start and an interval of its own, one of :data:`WALK_INTERVALS`. At
    the first frame and after every interval the level changes by -1, 0 or 1, but not
    beyond the lowest and the highest.

    Args:
        seed (int | tuple[int]): Seed of the walk, not negative. The same seed gives the
            same walk with every version of NumPy.
        length (int): Number of frames; a longer walk begins like a shorter one.

    Returns:
        list[int]: The level of each frame, 1 to 5.
    """
    shortest = min(WALK_INTERVALS)
    count = 2 + (length + shortest - 1) // shortest
    # NumPy promises that these words stay the same, but not what is made of them.
    words = np.random.SeedSequence(seed).generate_state(count).tolist()
    level = 1 + words[0] % EXPOSURE_LEVELS
    interval = WALK_INTERVALS[words[1] % len(WALK_INTERVALS)]
    levels = []
    for frame in range(length):
        if frame % interval == 0:
            step = words[2 + frame // interval] % 3 - 1
            level = min(max(level + step, 1), EXPOSURE_LEVELS)
        levels.append(level)
    return levels


def level_at(seed: tuple[int, ...], frame: int) -> int:
    """Level of one frame of :func:`walk_levels`, counted from 0."""
    length = _CACHED_LENGTH * (frame // _CACHED_LENGTH + 1)
    return _cached_walk(seed, length)[frame]


@lru_cache(maxsize=1024)
def _cached_walk(seed: tuple[int, ...], length: int) -> list[int]:
    return walk_levels(seed, length)
