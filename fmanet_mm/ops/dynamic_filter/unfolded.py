"""Dynamic filtering as products of small matrices, one for each frame and pixel."""

import torch.nn.functional as F
from torch import Tensor


def filter_unfolded(x: Tensor, weight: Tensor, kernel_size: int, stride: int) -> Tensor:
    """Multiply two small matrices, G x k*k and k*k x C, for each frame and pixel."""
    out = 0
    for frame, filters in zip(x.unbind(1), weight.unbind(1), strict=True):
        patches = F.unfold(frame, kernel_size, stride=stride)
        patches = patches.view(x.size(0), x.size(2), -1, *weight.shape[-2:])
        # Contiguous, or the matrices would be multiplied one by one.
        patches = patches.permute(0, 3, 4, 2, 1).contiguous()
        out = out + filters.permute(0, 3, 4, 1, 2) @ patches
    return out.permute(0, 4, 3, 1, 2)
