"""Frames as images and as tensors; a short clip restored in memory."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

from ..models import FMANet
from ..video import open_frames
from .streaming import StreamingRestorer


def to_tensor(
    frame: np.ndarray,
    device: str | torch.device = 'cpu',
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Turn (H, W, 3), uint8 or uint16 of the full range, into (3, H, W) in [0, 1]."""
    image = torch.from_numpy(np.ascontiguousarray(frame)).to(device).permute(2, 0, 1)
    return image.to(dtype) / np.iinfo(frame.dtype).max


def to_image(frame: Tensor, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """Turn (3, H, W) in [0, 1] into (H, W, 3), uint8 or uint16 of the full range."""
    dtype = np.dtype(dtype)
    image = (frame.float().clamp(0, 1) * np.iinfo(dtype).max).round()
    return image.to(getattr(torch, dtype.name)).permute(1, 2, 0).cpu().numpy()


def restore_frames(model: FMANet, frames: Iterable[np.ndarray]) -> Iterator[Tensor]:
    """Restore a clip frame by frame, see :class:`StreamingRestorer`.

    Args:
        model (FMANet): A model of stage 2, in evaluation mode.
        frames (Iterable[np.ndarray]): (H, W, 3), uint8 or uint16, RGB.

    Yields:
        Tensor: For every frame the sharp HR frame, (3, sH, sW), about [0, 1], RGB.
    """
    weight = next(model.parameters())
    inputs = (to_tensor(frame, weight.device, weight.dtype) for frame in frames)
    return StreamingRestorer(model).restore(inputs)


def restoration_video_inference(model: FMANet, video: str | os.PathLike) -> Tensor:
    """Restore a short clip in memory.

    For clips of any length use :class:`VideoRestorer` or MMagic's
    ``MMagicInferencer``.

    Args:
        model (FMANet): A model of stage 2, as ``mmagic.apis.init_model`` gives it.
        video (str | PathLike): A video file or a folder of images.

    Returns:
        Tensor: (1, number of frames, 3, sH, sW), RGB, about [0, 1], on the CPU.

    Raises:
        FileNotFoundError: If there is no such video or folder.
        ValueError: If a frame cannot be read, or the model is of stage 1.
    """
    with open_frames(video) as frames:
        restored = [frame.cpu() for frame in restore_frames(model, frames)]
    return torch.stack(restored).unsqueeze(0)
