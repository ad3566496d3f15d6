"""Dynamic filtering: every output pixel has a filter of its own.

For an input ``x`` (N, T, C, H', W') that is already padded, filters ``w``
(N, T, G, k*k, H, W) and a stride s,

    out[n, c, g, i, j] = sum over t, u, v of
        w[n, t, g, u*k + v, i, j] * x[n, t, c, s*i + u, s*j + v]

with H' = s*(H - 1) + k and W' = s*(W - 1) + k. Flow-guided dynamic downsampling
(Eq. 2 of the paper) has one filter a pixel (G = 1) and s = the scale; upsampling
(Eq. 4) has scale^2 filters a pixel and s = 1.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import full_precision


def _check_shapes(x: Tensor, weight: Tensor, kernel_size: int, stride: int) -> None:
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


def dynamic_filter_reference(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int = 1
) -> Tensor:
    """The formula written down with ``unfold``; see :func:`dynamic_filter`."""
    _check_shapes(x, weight, kernel_size, stride)
    n, t, _, height, width = weight.shape[:3] + weight.shape[4:]
    patches = F.unfold(x.flatten(0, 1), kernel_size, stride=stride)
    patches = patches.view(n, t, x.size(2), kernel_size**2, height, width)
    return torch.einsum('ntckhw,ntgkhw->ncghw', patches, weight)


def _filter_unfolded(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int
) -> Tensor:
    """Multiply two small matrices, G x k*k and k*k x C, for each frame and pixel."""
    out = 0
    for frame, filters in zip(x.unbind(1), weight.unbind(1), strict=True):
        patches = F.unfold(frame, kernel_size, stride=stride)
        patches = patches.view(x.size(0), x.size(2), -1, *weight.shape[-2:])
        # Contiguous, or the matrices would be multiplied one by one.
        patches = patches.permute(0, 3, 4, 2, 1).contiguous()
        out = out + filters.permute(0, 3, 4, 1, 2) @ patches
    return out.permute(0, 4, 3, 1, 2)


class _DynamicFilter(torch.autograd.Function):
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


def dynamic_filter(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int = 1
) -> Tensor:
    """Filter T padded frames jointly with a filter per output pixel.

    The frames are unfolded only where that takes less than the filters do, C <= G;
    elsewhere nothing larger than the filters or G times the frames is allocated.
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
    _check_shapes(x, weight, kernel_size, stride)
    with full_precision(x, weight) as (x, weight):
        if torch.compiler.is_exporting():
            # Tap by tap it would be hundreds of operations.
            return dynamic_filter_reference(x, weight, kernel_size, stride)
        if x.size(2) <= weight.size(2):
            return _filter_unfolded(x, weight, kernel_size, stride)
        return _DynamicFilter.apply(x, weight, kernel_size, stride)
