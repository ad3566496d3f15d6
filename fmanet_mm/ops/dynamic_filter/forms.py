"""The forms of the dynamic filter, and the one place that chooses among them."""

import torch
from torch import Tensor

from ..precision import raised_precision
from .blocks import filter_by_blocks
from .reference import check_shapes, dynamic_filter_reference
from .unfolded import filter_unfolded

FORMS = dict(
    reference=dynamic_filter_reference,
    unfolded=filter_unfolded,
    blocks=filter_by_blocks,
)
"""Functions of (x, weight, kernel_size, stride) that give the same result."""


def choose_form(x: Tensor, weight: Tensor) -> str:
    """Name the form of :data:`FORMS` that suits these sizes.

    Args:
        x (Tensor): (N, T, C, H', W').
        weight (Tensor): (N, T, G, k*k, H, W).
    """
    if torch.compiler.is_exporting():
        # By blocks, the graph would have hundreds of operations.
        return 'reference'
    # An unfolded image is no larger than the filters if C <= G.
    return 'unfolded' if x.size(2) <= weight.size(2) else 'blocks'


def dynamic_filter(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int = 1
) -> Tensor:
    """Filter T padded frames jointly with a filter per output pixel.

    Computes in float32 at least, also under autocast.

    Args:
        x (Tensor): Padded frames, (N, T, C, H', W').
        weight (Tensor): Filters, (N, T, G, k*k, H, W), G filters for each output
            pixel, taps in row-major order.
        kernel_size (int): k.
        stride (int): Distance of neighbouring output pixels in ``x``.

    Returns:
        Tensor: (N, C, G, H, W), at least float32.

    Raises:
        ValueError: If the sizes do not fit each other.
    """
    check_shapes(x, weight, kernel_size, stride)
    with raised_precision(x, weight) as (x, weight):
        return FORMS[choose_form(x, weight)](x, weight, kernel_size, stride)
