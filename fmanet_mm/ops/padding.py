"""Padding of frames for networks that take only some sizes."""

import torch.nn.functional as F
from torch import Tensor


def pad_to_multiple(frames: Tensor, multiple: int) -> Tensor:
    """Repeat the lower and right border of (N, T, C, H, W) up to a multiple."""
    height, width = frames.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not (below or right):
        return frames
    padded = F.pad(frames.flatten(0, 1), (0, right, 0, below), mode='replicate')
    return padded.unflatten(0, frames.shape[:2])
