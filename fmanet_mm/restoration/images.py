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
    pixels = torch.from_numpy(np.ascontiguousarray(frame)).to(device)
    return to_unit(pixels, dtype)


def to_unit(pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The same for a tensor (H, W, 3), on its device."""
    return pixels.permute(2, 0, 1).to(dtype) / torch.iinfo(pixels.dtype).max


def to_image(frame: Tensor, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """Turn (3, H, W) in [0, 1] into (H, W, 3), uint8 or uint16 of the full range."""
    return to_pixels(frame, dtype).cpu().numpy()


def to_pixels(frame: Tensor, dtype: DTypeLike = np.uint8) -> Tensor:
    """The same as a tensor, on the device of the frame."""
    dtype = np.dtype(dtype)
    image = (frame.float().clamp(0, 1) * np.iinfo(dtype).max).round()
    return image.to(getattr(torch, dtype.name)).permute(1, 2, 0)


def shrink(frame: Tensor, height: int, width: int) -> Tensor:
    """Shrink (3, H, W) by averaging areas."""
    image = frame.float().permute(1, 2, 0).cpu().numpy()
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(smaller).permute(2, 0, 1)
