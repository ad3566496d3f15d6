"""Windows of frames that slide over a clip."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TypeVar

from torch import Tensor

Frame = TypeVar('Frame')


def check_window_lengths(num_input_frames: int, num_output_frames: int | None) -> None:
    """Refuse windows that have no centre, or whose output has none.

    Args:
        num_input_frames (int): Frames of a window, T.
        num_output_frames (int, optional): Frames that are wanted of it; None: all.

    Raises:
        ValueError: If T is not odd and at least 3, or the other neither 1 nor T.
    """
    if num_input_frames < 3 or num_input_frames % 2 == 0:
        raise ValueError(
            f'num_input_frames must be odd and at least 3, got {num_input_frames}.'
        )
    if num_output_frames not in (None, 1, num_input_frames):
        raise ValueError(
            f'num_output_frames must be 1, or num_input_frames ({num_input_frames}), '
            f'got {num_output_frames}.'
        )


def sliding_windows(frames: Iterable[Frame], num_frames: int) -> Iterator[deque[Frame]]:
    """Give a window around every frame of a clip.

    Windows that reach over an end of the clip are filled with its first or last
    frame.

    Args:
        frames (Iterable): The clip; taken no earlier than the next window needs it.
        num_frames (int): Frames of a window, T; odd.

    Yields:
        deque: T frames, the same object each time.
    """
    window = deque(maxlen=num_frames)
    for frame in _repeat_ends(frames, num_frames // 2):
        window.append(frame)
        if len(window) == num_frames:
            yield window


def _repeat_ends(frames: Iterable[Frame], times: int) -> Iterator[Frame]:
    """Give the first and the last frame so many times more."""
    last = None
    for frame in frames:
        if last is None:
            yield from repeat(frame, times)
        yield frame
        last = frame
    if last is not None:
        yield from repeat(last, times)


def check_frames(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass frames on as long as they fit each other.

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
