"""Windows of frames that slide over a clip."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TypeVar

from torch import Tensor

Frame = TypeVar('Frame')


def check_window_lengths(num_input_frames: int, num_output_frames: int | None) -> None:
    """Raise unless windows and their output have a centre frame.

    Args:
        num_input_frames (int): Frames in a window, T.
        num_output_frames (int, optional): Frames to give for each window; by default
            all.

    Raises:
        ValueError: If T is not odd and at least 3, or the output not 1 or T frames.
    """
    if num_input_frames < 3 or num_input_frames % 2 == 0:
        raise ValueError(
            f'num_input_frames must be odd and at least 3, got {num_input_frames}'
        )
    if num_output_frames not in (None, 1, num_input_frames):
        raise ValueError(
            f'num_output_frames must be 1, or num_input_frames ({num_input_frames}), '
            f'got {num_output_frames}'
        )


def sliding_windows(frames: Iterable[Frame], num_frames: int) -> Iterator[deque[Frame]]:
    """Yield a window around every frame of a clip.

    Windows that reach beyond an end of the clip repeat its first or last frame.

    Args:
        frames (Iterable): The clip; read no further than the next window needs.
        num_frames (int): Frames in a window, T; odd.

    Yields:
        deque: T frames; always the same object.
    """
    window = deque(maxlen=num_frames)
    for frame in _repeat_ends(frames, num_frames // 2):
        window.append(frame)
        if len(window) == num_frames:
            yield window


def _repeat_ends(frames: Iterable[Frame], times: int) -> Iterator[Frame]:
    """Repeat the first and the last frame ``times`` more times."""
    last = None
    for frame in frames:
        if last is None:
            yield from repeat(frame, times)
        yield frame
        last = frame
    if last is not None:
        yield from repeat(last, times)


def check_frames(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass frames on, and raise at the first that does not fit the others.

    Args:
        frames (Iterable[Tensor]): Each (3, H, W).

    Raises:
        ValueError: If a frame has another shape than (3, H, W) or than the first.
    """
    first = None
    for index, frame in enumerate(frames):
        first = frame.shape if first is None else first
        if frame.dim() != 3 or frame.size(0) != 3:
            raise ValueError(
                f'frame {index} must be (3, H, W), got {tuple(frame.shape)}'
            )
        if frame.shape != first:
            raise ValueError(
                f'frame {index} is {tuple(frame.shape)}, the frames before it are '
                f'{tuple(first)}; the frames of a clip must have one size'
            )
        yield frame
