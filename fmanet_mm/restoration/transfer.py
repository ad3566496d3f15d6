"""Frames on their way to a device and back, while it computes."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .images import to_tensor, to_unit


class Transfers:
    """Copies frames between the host and a device.

    On CUDA, copies go through pinned memory on streams of their own, so that neither
    the device nor the thread that computes waits for them. On other devices nothing is
    gained by that, and the computing thread copies.

    Args:
        device (torch.device): Where frames are restored.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams = None
        if device.type == 'cuda':
            self._streams = torch.cuda.Stream(device), torch.cuda.Stream(device)

    def upload(self, image: np.ndarray) -> Callable[[], Tensor]:
        """Begin to copy a frame to the device, in any thread.

        Args:
            image (np.ndarray): (H, W, 3), uint8 or uint16 of the full range.

        Returns:
            Callable: To be called by the thread that computes; gives the frame on the
            device, (3, H, W), float32 in [0, 1].
        """
        if self._streams is None:
            return partial(to_tensor, image, self._device)
        stream, _ = self._streams
        with torch.cuda.stream(stream):
            pinned = torch.from_numpy(np.ascontiguousarray(image)).pin_memory()
            pixels = pinned.to(self._device, non_blocking=True)
            copied = _record(stream)

        def finish() -> Tensor:
            computing = torch.cuda.current_stream(self._device)
            computing.wait_event(copied)
            pixels.record_stream(computing)
            return to_unit(pixels)

        return finish

    def download(self, *tensors: Tensor) -> Callable[[], list[Tensor]]:
        """Begin to copy tensors to the host, in the thread that computes them.

        Args:
            *tensors (Tensor): On the device. What is computed later may not overwrite
                them.

        Returns:
            Callable: To be called in any thread; waits for the copies and gives them.
        """
        if self._streams is None:
            copies = [tensor.cpu() for tensor in tensors]
            return lambda: copies
        _, stream = self._streams
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            copies = [_begin_copy(tensor, stream) for tensor in tensors]
            copied = _record(stream)

        def finish() -> list[Tensor]:
            copied.synchronize()
            return copies

        return finish


def _begin_copy(tensor: Tensor, stream: torch.cuda.Stream) -> Tensor:
    copy = torch.empty_like(tensor, device='cpu', pin_memory=True)
    copy.copy_(tensor, non_blocking=True)
    tensor.record_stream(stream)
    return copy


def _record(stream: torch.cuda.Stream) -> torch.cuda.Event:
    """Mark what is on a stream so far; waiting for it leaves the processor free."""
    event = torch.cuda.Event(blocking=True)
    event.record(stream)
    return event
