"""The filter-adaptive convolution tap by tap, which never unfolds the feature."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .reference import check_shapes, pad_border


def filter_adaptive_conv(x: Tensor, weight: Tensor, kernel_size: int) -> Tensor:
    """Filter every channel by a filter per pixel; see this package.

    Sums up in float32 at least. Filters in half precision, which are most of the
    memory, are raised tap by tap.

    Args:
        x (Tensor): Feature, (N, C, H, W).
        weight (Tensor): Filters, (N, C*k*k, H, W): channel, then taps in row-major
            order.
        kernel_size (int): k; odd.

    Returns:
        Tensor: (N, C, H, W), at least float32.

    Raises:
        ValueError: If the sizes do not fit each other, or ``kernel_size`` is even.
    """
    check_shapes(x, weight, kernel_size)
    return FilterByTaps.apply(pad_border(x, kernel_size), weight, kernel_size)


class FilterByTaps(torch.autograd.Function):
    """Accumulates tap by tap; keeps the padded feature and the filters, no more."""

    @staticmethod
    def forward(ctx, padded, weight, kernel_size):
        ctx.save_for_backward(padded, weight)
        ctx.kernel_size = kernel_size
        dtype = torch.promote_types(
            torch.promote_types(padded.dtype, weight.dtype), torch.float32
        )
        shape = (*padded.shape[:2], *weight.shape[2:])
        out = padded.new_zeros(shape, dtype=dtype)
        for pixels, filters in _taps(padded, weight, kernel_size):
            out.addcmul_(pixels.to(dtype), filters.to(dtype))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        padded, weight = ctx.saved_tensors
        needs_padded, needs_weight = ctx.needs_input_grad[:2]
        grad_padded = torch.zeros_like(padded, dtype=grad_out.dtype)
        grad_weight = torch.empty_like(weight)
        for (pixels, filters), (grad_pixels, grad_filters) in zip(
            _taps(padded, weight, ctx.kernel_size),
            _taps(grad_padded, grad_weight, ctx.kernel_size),
            strict=True,
        ):
            if needs_weight:
                grad_filters.copy_(grad_out * pixels)
            if needs_padded:
                grad_pixels.addcmul_(grad_out, filters.to(grad_out.dtype))
        return (
            grad_padded.to(padded.dtype) if needs_padded else None,
            grad_weight if needs_weight else None,
            None,
        )


def _taps(
    padded: Tensor, weight: Tensor, kernel_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of each tap, (N, C, H, W), and of the pixels that it reads."""
    height, width = weight.shape[2:]
    taps = weight.unflatten(1, (-1, kernel_size**2)).unbind(2)
    for index, filters in enumerate(taps):
        i, j = divmod(index, kernel_size)
        yield padded[..., i : i + height, j : j + width], filters
