"""Dynamic filtering: every output pixel has a filter of its own.

For an input ``x`` (N, T, C, H', W') that is already padded, filters ``w``
(N, T, G, k*k, H, W) and a stride s,

    out[n, c, g, i, j] = sum over t, u, v of
        w[n, t, g, u*k + v, i, j] * x[n, t, c, s*i + u, s*j + v]

with H' = s*(H - 1) + k and W' = s*(W - 1) + k. Flow-guided dynamic downsampling
(Eq. 2 of the paper) has one filter a pixel (G = 1) and s = the scale; upsampling
(Eq. 4) has scale^2 filters a pixel and s = 1.
"""

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
    """Accumulates tap by tap, so that the image is never unfolded.

    The stride is taken out first by a pixel unshuffle, an array of the image's
    own size in which the pixels that one tap reads are neighbours.
    """

    @staticmethod
    def forward(ctx, x, weight, kernel_size, stride):
        phases = _DynamicFilter._split_phases(x, stride)
        ctx.save_for_backward(phases, weight)
        ctx.geometry = kernel_size, stride, x.shape
        out = weight.new_zeros(
            (x.size(0), x.size(2), weight.size(2)) + weight.shape[-2:]
        )
        for t, tap, window in _DynamicFilter._taps(phases, weight, kernel_size, stride):
            out.addcmul_(window.unsqueeze(2), weight[:, t, :, tap].unsqueeze(1))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_out):
        phases, weight = ctx.saved_tensors
        kernel_size, stride, x_shape = ctx.geometry
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        grad_phases = torch.zeros_like(phases) if needs_x else None
        grad_weight = torch.empty_like(weight) if needs_weight else None
        taps = _DynamicFilter._taps(phases, weight, kernel_size, stride)
        grad_taps = (
            _DynamicFilter._taps(grad_phases, weight, kernel_size, stride)
            if needs_x
            else None
        )
        for t, tap, window in taps:
            if needs_weight:
                grad_weight[:, t, :, tap] = (grad_out * window.unsqueeze(2)).sum(1)
            if needs_x:
                _, _, grad_window = next(grad_taps)
                grad_window += (grad_out * weight[:, t, :, tap].unsqueeze(1)).sum(2)
        grad_x = (
            _DynamicFilter._join_phases(grad_phases, stride, x_shape)
            if needs_x
            else None
        )
        return grad_x, grad_weight, None, None

    @staticmethod
    def _split_phases(x: Tensor, stride: int) -> Tensor:
        """(N, T, C, H', W') -> (N, T, C, s, s, ceil(H'/s), ceil(W'/s))."""
        bottom, right = (-x.size(-2) % stride, -x.size(-1) % stride)
        padded = F.pad(x, (0, right, 0, bottom))
        phases = F.pixel_unshuffle(padded, stride)
        return phases.unflatten(2, (x.size(2), stride, stride))

    @staticmethod
    def _join_phases(phases: Tensor, stride: int, shape: torch.Size) -> Tensor:
        joined = F.pixel_shuffle(phases.flatten(2, 4), stride)
        return joined[..., : shape[-2], : shape[-1]]

    @staticmethod
    def _taps(phases: Tensor, weight: Tensor, kernel_size: int, stride: int):
        """Yield (frame, tap, the (N, C, H, W) view of pixels this tap reads)."""
        height, width = weight.shape[-2:]
        for t in range(phases.size(1)):
            for tap in range(kernel_size**2):
                row, column = divmod(tap, kernel_size)
                top, left = row // stride, column // stride
                phase = phases[:, t, :, row % stride, column % stride]
                yield t, tap, phase[..., top : top + height, left : left + width]


def dynamic_filter(
    x: Tensor, weight: Tensor, kernel_size: int, stride: int = 1
) -> Tensor:
    """Filter T padded frames jointly with a filter per output pixel.

    The frames are unfolded only where that takes less than the filters do, C <= G:
    neither forward nor backward allocates more than the size of its inputs and output.
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
