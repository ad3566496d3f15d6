"""Restoring a stream of frames: encode every frame once, refine every window."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..models import FMANet
from .memory import (
    choose_strip_rows,
    free_bytes,
    halve_strip_rows,
    is_out_of_memory,
)
from ..models.fmanet.refinement_net import stack_window
from ..ops import fast_strip_rows, strips
from ..utils.windows import check_frames, sliding_windows


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

    Large frames are computed on horizontal strips, of the height that is fastest if the
    memory allows it; that changes no output beyond rounding. If memory runs out all the
    same, the frame is computed again on strips half as high.

    Args:
        model (FMANet): A model of stage 2, in evaluation mode.
        memory_budget (float, optional): What the tensors of the computation may take,
            in GiB, weights not counted. By default most of what is free when the first
            clip of a size begins.

    Raises:
        ValueError: If the model cannot restore, as in stage 1, or the budget is not
            positive.
    """

    def __init__(self, model: FMANet, memory_budget: float | None = None) -> None:
        if getattr(model, 'net_r', None) is None:
            raise ValueError(
                f'a {type(model).__name__} without net_r cannot restore a video; use a '
                'config and a checkpoint of stage 2'
            )
        if memory_budget is not None and memory_budget <= 0:
            raise ValueError(
                f'memory_budget must be a positive number of GiB, got {memory_budget}'
            )
        self.model = model
        self.memory_budget = memory_budget
        self._size = self._strip_rows = None

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
        encoded = map(self._encode, self._fit_memory(check_frames(frames)))
        for window in sliding_windows(encoded, self.model.num_frames):
            yield self._on_strips(self._refine, window)

    def _fit_memory(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Choose the strips when the size of the frames is known, once for a size."""
        for index, frame in enumerate(frames):
            size = (*frame.shape[1:], _dtype_of(frame))
            if index == 0 and size != self._size:
                height, width, dtype = self._size = size
                self._strip_rows = choose_strip_rows(
                    self.model,
                    height,
                    width,
                    self._budget(frame),
                    dtype,
                    fast_strip_rows(height, width, frame.device),
                )
            yield frame

    def _budget(self, frame: Tensor) -> float:
        if self.memory_budget is None:
            return free_bytes(frame.device)
        return self.memory_budget * 2**30

    def _encode(self, frame: Tensor) -> EncodedFrame:
        return self._on_strips(self._encode_frame, frame.unsqueeze(0))

    def _encode_frame(self, image: Tensor) -> EncodedFrame:
        features_d = self.model.net_d.encode(image)
        features_r = self.model.net_r.encode(image, features_d[-1])
        return EncodedFrame(image, features_d, features_r)

    def _refine(self, window: Iterable[EncodedFrame]) -> Tensor:
        images, features_d, features_r = zip(*window, strict=True)
        degradation = self.model.net_d.refine(stack_window(features_d))
        # NetR has its own features; NetD's need not be kept any longer.
        degradation = replace(degradation, feature=None)
        restoration = self.model.net_r.refine(
            torch.stack(images, dim=1), stack_window(features_r), degradation
        )
        return restoration.output.squeeze(0)

    def _on_strips(self, function: Callable, argument):
        """Call a function; if memory runs out, again on smaller strips."""
        while True:
            try:
                with strips(self._strip_rows):
                    return function(argument)
            except Exception as error:
                smaller = halve_strip_rows(self._size[0], self._strip_rows)
                if not is_out_of_memory(error) or smaller is None:
                    raise
            self._strip_rows = smaller
            torch.cuda.empty_cache()
            print_log(f'Memory ran out: going on with strips of {smaller} rows')


def _dtype_of(frame: Tensor) -> torch.dtype:
    """Type of the features that a frame gives."""
    device = frame.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return frame.dtype
