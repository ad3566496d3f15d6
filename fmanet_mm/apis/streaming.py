"""Restoring a stream of frames: encode every frame once, refine every window."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import torch
from torch import Tensor

from ..models import FMANet


class EncodedFrame(NamedTuple):
    """What a window needs of one of its frames.

    Attributes:
        image (Tensor): The frame, (1, 3, H, W).
        features_d (list[Tensor]): NetD's features of all levels, each (1, C, H, W).
        features_r (list[Tensor]): NetR's, likewise.
    """

    image: Tensor
    features_d: list[Tensor]
    features_r: list[Tensor]


class StreamingRestorer:
    """Restores a video of any length in constant memory.

    The features of a frame do not depend on its neighbours, so every frame is encoded
    once and T of them are kept; flow, kernels and attention are computed per window.
    The output is that of ``model(window, mode='tensor')`` for every window.

    Args:
        model (FMANet): A model of stage 2, in evaluation mode.

    Raises:
        ValueError: If the model cannot restore, as in stage 1.
    """

    def __init__(self, model: FMANet) -> None:
        if getattr(model, 'net_r', None) is None:
            raise ValueError(
                f'a {type(model).__name__} without net_r cannot restore a video; use a '
                'config and a checkpoint of stage 2'
            )
        self.model = model

    @torch.inference_mode()
    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Restore a clip.

        Windows that reach over an end of the clip are filled with its first or last
        frame. Each call stands for itself: give the shots of a video one by one, and
        no window crosses a cut.

        Args:
            frames (Iterable[Tensor]): Blurry LR frames in order, each (3, H, W), RGB in
                [0, 1], of the model's type and on its device.

        Yields:
            Tensor: For every frame the sharp HR frame, (3, sH, sW), about [0, 1].

        Raises:
            ValueError: If a frame has another shape than (3, H, W) or than the first.
        """
        num_frames = self.model.num_frames
        window = deque(maxlen=num_frames)
        encoded = map(self._encode, _check_shapes(frames))
        for frame in _repeat_ends(encoded, num_frames // 2):
            window.append(frame)
            if len(window) == num_frames:
                yield self._refine(window)

    def _encode(self, frame: Tensor) -> EncodedFrame:
        image = frame.unsqueeze(0)
        features_d = self.model.net_d.encode(image)
        features_r = self.model.net_r.encode(image, features_d[-1])
        return EncodedFrame(image, features_d, features_r)

    def _refine(self, window: Iterable[EncodedFrame]) -> Tensor:
        images, features_d, features_r = zip(*window, strict=True)
        degradation = self.model.net_d.refine(_stack_levels(features_d))
        restoration = self.model.net_r.refine(
            torch.stack(images, dim=1), _stack_levels(features_r), degradation
        )
        return restoration.output.squeeze(0)


def _repeat_ends(frames: Iterable[EncodedFrame], times: int) -> Iterator[EncodedFrame]:
    """Give the first and the last frame so many times more."""
    last = None
    for frame in frames:
        if last is None:
            yield from repeat(frame, times)
        yield frame
        last = frame
    if last is not None:
        yield from repeat(last, times)


def _check_shapes(frames: Iterable[Tensor]) -> Iterator[Tensor]:
    """Pass frames on as long as they fit each other."""
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


def _stack_levels(features: Sequence[list[Tensor]]) -> list[Tensor]:
    """For every level the frames' features as (1, T, C, H, W)."""
    return [torch.stack(level, dim=1) for level in zip(*features, strict=True)]
