"""Frames as images and as tensors."""

import cv2
import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor


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


def shrink(frame: Tensor, height: int, width: int) -> Tensor:
    """Shrink (3, H, W) by averaging areas."""
    image = frame.float().permute(1, 2, 0).cpu().numpy()
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(smaller).permute(2, 0, 1)
