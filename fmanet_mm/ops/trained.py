"""Operations of training that a GPU computes in one kernel, and so their gradients.

They take features as (N, C, H, W), and are for those that :func:`has_kernels` is true
of; what they consist of is in the modules that use them.
"""

from functools import cache

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor
from torch.autograd.function import once_differentiable

from .channel_products import LEAST_LENGTH, combine_channels
from .fused import find_kernels
from .lean_convs import conv1x1_gradients
from .precision import without_autocast


def has_kernels(x: Tensor) -> bool:
    """Whether gradients are recorded, and there are kernels for a tensor."""
    if not torch.is_grad_enabled() or find_kernels(x) is None:
        return False
    return _kernels_work(x.device)


@cache
def _kernels_work(device: torch.device) -> bool:
    try:
        from .triton_kernels.training import try_kernels

        try_kernels(device)
    except Exception as error:
        print_log(f'training without fused kernels, which is slower: {error}')
        return False
    return True


def has_mixing_kernels(x: Tensor, head_channels: int) -> bool:
    """:func:`has_kernels`, for attention whose heads have a number of channels."""
    return has_kernels(x) and head_channels <= find_kernels(x).WIDEST_HEAD


def has_warp_kernels(x: Tensor) -> bool:
    """:func:`has_kernels`, for warps, whose gradients are added up in any order."""
    return has_kernels(x) and not torch.are_deterministic_algorithms_enabled()


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Normalise the channels of every pixel.

    Args:
        x (Tensor): (N, C, H, W).
        weight (Tensor): Gains, (C,).
        bias (Tensor, optional): Offsets, (C,); without them channels are divided by
            their standard deviation, but not centred.
        eps (float): Added to the (biased) variance.

    Returns:
        Tensor: Of the type of ``x``.
    """
    return _ChannelNorm.apply(x, weight, bias, eps)


def gated_conv(hidden: Tensor, weight: Tensor) -> Tensor:
    """Convolve ``gelu`` of the first half of the channels times the second half.

    Args:
        hidden (Tensor): (N, 2C, H, W).
        weight (Tensor): (C_out, C, 1, 1).

    Returns:
        Tensor: (N, C_out, H, W), of the type of ``hidden``.
    """
    return _GatedConv.apply(hidden, weight.to(hidden.dtype))


def warp_channels(x: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
    """Warp and mask n groups of channels, each by a flow-mask pair of its own.

    Args:
        x (Tensor): (N, C, H, W).
        flow_masks (Tensor): n flow-mask pairs side by side, (N, 3n, H, W).
        rows (Tensor): Numbers of the frame's rows, all of them, (H, 1).

    Returns:
        Tensor: (N, C, H, W), of the type of ``x``.
    """
    return _Warp.apply(x, flow_masks, rows)


def mixing(query: Tensor, key: Tensor, temperature: Tensor, project: Tensor) -> Tensor:
    """Attention between channels, and an output projection, as one matrix.

    Args:
        query (Tensor): (N, C + zero channels, H, W).
        key (Tensor): Of the same shape.
        temperature (Tensor): Factors of the heads' logits, (heads, 1, 1).
        project (Tensor): Weight of the output projection, (C, C).

    Returns:
        Tensor: (N, C + zeros, C + zeros), output channel by value channel, of the
        query's type.
    """
    return _Mixing.apply(query, key, temperature, project)


def _pixels(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def _images(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


class _ChannelNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        from .triton_kernels.training import channel_norm

        ctx.save_for_backward(x, weight)
        ctx.eps, ctx.centred = eps, bias is not None
        return _images(channel_norm(_pixels(x), weight, bias, eps))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from .triton_kernels.training import channel_norm_backward

        x, weight = ctx.saved_tensors
        grad_x, sums = channel_norm_backward(
            _pixels(grad), _pixels(x), weight, ctx.centred, ctx.eps
        )
        of_weight, of_bias = sums.sum(0).to(weight.dtype).unbind()
        return _images(grad_x), of_weight, of_bias if ctx.centred else None, None


class _GatedConv(torch.autograd.Function):
    """Gates once more for the gradient, instead of keeping what is convolved."""

    @staticmethod
    def forward(ctx, hidden, weight):
        from .triton_kernels.training import gate

        ctx.save_for_backward(hidden, weight)
        with without_autocast(hidden.device.type):
            return F.conv2d(_images(gate(_pixels(hidden))), weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from .triton_kernels.training import gate, gate_backward

        hidden, weight = ctx.saved_tensors
        pixels = _pixels(hidden)
        gated = _images(gate(pixels))
        of_gated, of_weight, _ = conv1x1_gradients(grad, gated, weight)
        return _images(gate_backward(_pixels(of_gated), pixels)), of_weight


class _Warp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, flow_masks, rows):
        from .triton_kernels import warp_channels

        ctx.save_for_backward(x, flow_masks)
        return warp_channels(x, flow_masks, rows, x.size(1))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from .triton_kernels.training import warp_channels_backward

        x, flow_masks = ctx.saved_tensors
        grad_x, grad_flow_masks = warp_channels_backward(
            _pixels(grad), _pixels(x), flow_masks
        )
        return (
            _images(grad_x).to(x.dtype),
            grad_flow_masks.to(flow_masks.dtype),
            None,
        )


class _Mixing(torch.autograd.Function):
    @staticmethod
    def forward(ctx, query, key, temperature, project):
        from .triton_kernels import channel_mixing, channel_sums

        real = (x[:, : project.size(0)] for x in (query, key))
        sums = channel_sums(*real, temperature.size(0))
        ctx.save_for_backward(query, key, sums, temperature, project)
        mixing = channel_mixing(sums, temperature, project, query.size(1), LEAST_LENGTH)
        return mixing.to(query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        from .triton_kernels.training import channel_mixing_backward

        query, key, sums, temperature, project = ctx.saved_tensors
        if grad.dtype == torch.float16:
            grad = grad.float()  # What is divided by squared lengths leaves its range.
        matrix, own_q, own_k, *shares = channel_mixing_backward(
            grad, sums.sum(1), temperature, project, LEAST_LENGTH
        )
        of_temperature, of_project = (x.sum(0) for x in shares)
        return (
            combine_channels(key, matrix.mT, query, own_q),
            combine_channels(query, matrix, key, own_k),
            of_temperature.view_as(temperature).to(temperature.dtype),
            of_project.to(project.dtype),
        )
