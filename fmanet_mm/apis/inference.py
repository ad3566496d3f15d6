"""Video in, restored video out."""

import os
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..models import FMANet
from ..video import open_frames
from .streaming import StreamingRestorer


def to_tensor(frame: np.ndarray, model: FMANet) -> Tensor:
    """Bring a frame to where the model is.

    Args:
        frame (np.ndarray): (H, W, 3), uint8, RGB.
        model (FMANet): Whose type and device the result has.

    Returns:
        Tensor: (3, H, W), RGB in [0, 1].
    """
    weight = next(model.parameters())
    image = torch.from_numpy(frame).to(weight.device).permute(2, 0, 1)
    return image.to(weight.dtype) / 255


def to_image(frame: Tensor) -> np.ndarray:
    """Turn (3, H, W) RGB in [0, 1] into (H, W, 3) uint8."""
    image = (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)
    return image.permute(1, 2, 0).cpu().numpy()


def restore_frames(model: FMANet, frames: Iterable[np.ndarray]) -> Iterator[Tensor]:
    """Restore a clip frame by frame, see :class:`StreamingRestorer`.

    Args:
        model (FMANet): A model of stage 2, in evaluation mode.
        frames (Iterable[np.ndarray]): (H, W, 3), uint8, RGB.

    Yields:
        Tensor: For every frame the sharp HR frame, (3, sH, sW), about [0, 1], RGB.
    """
    inputs = (to_tensor(frame, model) for frame in frames)
    return StreamingRestorer(model).restore(inputs)


def restoration_video_inference(model: FMANet, video: str | os.PathLike) -> Tensor:
    """Restore a short clip in memory.

    For clips of any length use MMagic's ``MMagicInferencer`` or
    :class:`StreamingRestorer`.

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
