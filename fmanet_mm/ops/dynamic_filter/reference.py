"""The dynamic filter as its formula says, and what its arguments must be."""

import torch
import torch.nn.functional as F
from torch import Tensor


def dynamic_filter_reference(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int = 1
) -> Tensor:
    """The formula with ``unfold``; see :mod:`~fmanet_mm.ops.dynamic_filter`."""
    check_shapes(x, weight, kernel_size, stride)
    n, t, _, height, width = weight.shape[:3] + weight.shape[4:]
    patches = F.unfold(x.flatten(0, 1), kernel_size, stride=stride)
    patches = patches.view(n, t, x.size(2), kernel_size**2, height, width)
    return torch.einsum('ntckhw,ntgkhw->ncghw', patches, weight)


def check_shapes(x: Tensor, weight: Tensor, kernel_size: int, stride: int) -> None:
    """Raise a ValueError unless a padded input and its filters fit each other."""
    expected = tuple(stride * (n - 1) + kernel_size for n in weight.shape[-2:])
    if weight.size(3) != kernel_size**2:
        raise ValueError(
            f'weight must have kernel_size^2 = {kernel_size**2} taps in dimension 3, '
            f'got shape {tuple(weight.shape)}'
        )
    if tuple(x.shape[-2:]) != expected or x.shape[:2] != weight.shape[:2]:
        raise ValueError(
            f'a weight of shape {tuple(weight.shape)} with stride {stride} filters an '
            f'input of {tuple(weight.shape[:2])} frames of {expected} pixels, got '
            f'x of shape {tuple(x.shape)}; pad x by kernel_size - stride in all'
        )
