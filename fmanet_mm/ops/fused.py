"""Operations that a GPU computes in one kernel, and what they consist of elsewhere."""

from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

_TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""Types that the kernels compute with."""


def normalise(x: Tensor, channels: int, centred: bool, eps: float) -> Tensor:
    """Divide every pixel's channels by their standard deviation.

    Args:
        x (Tensor): (N, C + zero channels, H, W).
        channels (int): C.
        centred (bool): Whether to subtract their mean first.
        eps (float): Added to the (biased) variance.

    Returns:
        Tensor: Of the same shape; the zero channels are still zero.
    """
    kernels = find_kernels(x)
    if kernels:
        return kernels.normalise(x, channels, centred, eps)
    zeros = x.size(1) - channels
    x = x[:, :channels].permute(0, 2, 3, 1)
    if centred:
        x = F.layer_norm(x, (channels,), eps=eps)
    else:
        variance = x.var(-1, unbiased=False, keepdim=True)
        x = x * torch.rsqrt(variance + eps)
    if zeros:
        x = F.pad(x, (0, zeros))
    return x.permute(0, 3, 1, 2)


def find_kernels(x: Tensor) -> ModuleType | None:
    """The module of the kernels for a tensor, or None if there are none for it."""
    if x.device.type == 'cuda' and x.dtype in _TYPES:
        return load_kernels(x.device)
    return None


@cache
def load_kernels(device: torch.device) -> ModuleType | None:
    """Import the kernels and try some, which needs a driver and a C compiler."""
    try:
        from . import triton_kernels

        triton_kernels.try_kernels(device)
    except Exception as error:
        print_log(
            f'restoring without Triton, which is slower: {error}; it needs the package '
            'triton (on Windows triton-windows) and a C compiler'
        )
        return None
    return triton_kernels
