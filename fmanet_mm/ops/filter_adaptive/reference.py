"""The filter-adaptive convolution as its formula says, and what its arguments are."""

import torch.nn.functional as F
from torch import Tensor


def filter_adaptive_conv_reference(
    x: Tensor, weight: Tensor, kernel_size: int
) -> Tensor:
    """The formula with ``unfold``; see :mod:`~fmanet_mm.ops.filter_adaptive`."""
    check_shapes(x, weight, kernel_size)
    patches = F.unfold(pad_border(x, kernel_size), kernel_size).view_as(weight)
    return (patches * weight).unflatten(1, (x.size(1), -1)).sum(2)


def pad_border(x: Tensor, kernel_size: int) -> Tensor:
    """Repeat the border of (N, C, H, W) as far as a filter reaches."""
    return F.pad(x, 4 * (kernel_size // 2,), mode='replicate')


def check_shapes(x: Tensor, weight: Tensor, kernel_size: int) -> None:
    """Raise a ValueError unless a feature and its filters fit each other."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f'kernel_size must be odd and positive, got {kernel_size}')
    n, channels, height, width = x.shape
    expected = (n, channels * kernel_size**2, height, width)
    if tuple(weight.shape) != expected:
        raise ValueError(
            f'a feature of shape {tuple(x.shape)} needs a filter of {kernel_size}x'
            f'{kernel_size} taps for each channel and pixel, {expected}, got a weight '
            f'of shape {tuple(weight.shape)}'
        )
