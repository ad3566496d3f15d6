"""Dynamic filtering by blocks of taps, which never unfolds the image."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def filter_by_blocks(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int
) -> Tensor:
    """See :func:`~fmanet_mm.ops.dynamic_filter.forms.dynamic_filter`."""
    return DynamicFilterByBlocks.apply(x, weight, kernel_size, stride)


class DynamicFilterByBlocks(torch.autograd.Function):
    """Accumulates block by block of s x s taps, so that the image is never unfolded.

    The stride is taken out first by a pixel unshuffle, an array of the image's own
    size in which the pixels that one tap reads are neighbours. What all taps of a block
    read is no larger than the image, and a GPU has few operations to start.
    """

    @staticmethod
    def forward(ctx, x, weight, kernel_size, stride):
        phases = _split_phases(x, stride)
        ctx.save_for_backward(phases, weight)
        ctx.geometry = kernel_size, stride, x.shape
        out = 0
        for window, filters in _blocks(phases, weight, kernel_size):
            out = out + (window * filters).sum((1, 4, 5))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        phases, weight = ctx.saved_tensors
        kernel_size, stride, shape = ctx.geometry
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        grad_phases, grad_weight = torch.zeros_like(phases), torch.empty_like(weight)
        grad_out = grad_out[:, None, :, :, None, None]
        for (window, filters), (grad_window, grad_filters) in zip(
            _blocks(phases, weight, kernel_size),
            _blocks(grad_phases, grad_weight, kernel_size),
            strict=True,
        ):
            if needs_weight:
                grad_filters.copy_((grad_out * window).sum(2, keepdim=True))
            if needs_x:
                grad_window += (grad_out * filters).sum(3, keepdim=True)
        grad_x = _join_phases(grad_phases, stride, shape) if needs_x else None
        return grad_x, grad_weight if needs_weight else None, None, None


def _split_phases(x: Tensor, stride: int) -> Tensor:
    """(N, T, C, H', W') -> (N, T, C, s, s, ceil(H'/s), ceil(W'/s))."""
    bottom, right = (-x.size(-2) % stride, -x.size(-1) % stride)
    phases = F.pixel_unshuffle(F.pad(x, (0, right, 0, bottom)), stride)
    return phases.unflatten(2, (x.size(2), stride, stride))


def _join_phases(phases: Tensor, stride: int, shape: torch.Size) -> Tensor:
    joined = F.pixel_shuffle(phases.flatten(2, 4), stride)
    return joined[..., : shape[-2], : shape[-1]]


def _blocks(
    phases: Tensor, weight: Tensor, kernel_size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Views of s x s taps, of fewer at the end of a kernel, and of what they read.

    Yields:
        tuple[Tensor, Tensor]: Pixels, (N, T, C, 1, s, s, H, W), and filters,
        (N, T, 1, G, s, s, H, W).
    """
    stride = phases.size(3)
    height, width = weight.shape[-2:]
    taps = weight.unflatten(3, (kernel_size, kernel_size)).unsqueeze(2)
    for i, rows in enumerate(taps.split(stride, dim=4)):
        for j, filters in enumerate(rows.split(stride, dim=5)):
            block = phases[..., : filters.size(4), : filters.size(5), :, :]
            yield block[..., i : i + height, j : j + width].unsqueeze(3), filters
