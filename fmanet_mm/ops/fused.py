"""Operations that a GPU computes in one kernel, and what they consist of elsewhere."""

from collections.abc import Sequence
from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor

from .precision import at_least_float32, is_half

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


def dense_layer(parts: Sequence[Tensor], growth: int, slope: float) -> Tensor:
    """Output of the last layer so far of a dense block.

    Args:
        parts (Sequence[Tensor]): For the block's input and the layers before, what it
            adds to the layer that reads it first and to those behind, (N, C_i, H, W).
        growth (int): Channels of a layer.
        slope (float): Of the LeakyReLU.

    Returns:
        Tensor: (N, growth, H, W).
    """
    kernels = find_kernels(parts[0])
    if kernels:
        return kernels.dense_layer(list(parts), growth, slope)
    own = [
        part.narrow(1, growth * behind, growth)
        for behind, part in enumerate(reversed(parts))
    ]
    total = own.pop()
    while own:
        total = total + own.pop()
    # Dense, since convolving a slice of channels is slow.
    return F.leaky_relu(total, slope)


def activated_sum(
    x: Tensor, shared: Tensor, other: Tensor | None, slope: float
) -> Tensor:
    """Add features up in at least float32, and apply a LeakyReLU.

    Args:
        x (Tensor): Of each frame, (N, T, C, H, W); may be overwritten.
        shared (Tensor): Of all frames of a window, (N, C, H, W).
        other (Tensor, optional): (N, T, C, H, W).
        slope (float): Of the LeakyReLU.

    Returns:
        Tensor: (N, T, C, H, W), of the type of ``x``.
    """
    kernels = find_kernels(x)
    if kernels:
        return kernels.activated_sum(x, shared, other, slope)
    total = at_least_float32(x)
    total += shared.unsqueeze(1)
    if other is not None:
        total += other
    return F.leaky_relu(total, slope, inplace=True).to(x.dtype)


def find_kernels(x: Tensor) -> ModuleType | None:
    """The module of the kernels for a tensor, or None if there are none for it."""
    if x.device.type == 'cuda' and x.dtype in _TYPES:
        return load_kernels(x.device)
    return None


def find_product_kernels(x: Tensor) -> ModuleType | None:
    """As :func:`find_kernels`, for products, which float32 has better ones for."""
    return find_kernels(x) if is_half(x) else None


@cache
def load_kernels(device: torch.device) -> ModuleType | None:
    """Import the kernels and try some, which needs a driver and a C compiler."""
    try:
        from . import triton_kernels

        triton_kernels.try_kernels(device)
    except Exception as error:
        print_log(
            f'computing without Triton, which is slower: {error}; it needs the package '
            'triton (on Windows triton-windows) and a C compiler'
        )
        return None
    return triton_kernels
