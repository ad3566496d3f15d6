"""Small parts that several networks share."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from ...ops import WHOLE_FRAMES, Strips
from ...ops.precision import autocast_type, raised_precision
from .wide_convs import WideConv2d, padded_channels, with_present_weights

NEGATIVE_SLOPE = 0.2
"""Slope of every LeakyReLU of FMA-Net."""


def build_part(cfg: dict, **sizes) -> BaseModule:
    """Build a part that a config chooses.

    Args:
        cfg (dict): ``type``, and arguments that only this type has.
        sizes: Arguments that all of its kind have.
    """
    # MMEngine's own scope has all of ours, whatever the default scope is.
    return MODELS.build(dict(_scope_='mmengine', **sizes, **cfg))


def check_sizes(channels: int, scale: int, **divisors: int) -> None:
    """Raise a ValueError if a network cannot have these sizes.

    Args:
        channels (int): C.
        scale (int): Ratio of HR to LR size, s: 1, 2, 3 or 4.
        **divisors (int): Numbers of parts that share the channels, by name.
    """
    if scale not in (1, 2, 3, 4):
        raise ValueError(f'scale must be 1, 2, 3 or 4, got {scale}')
    for name, divisor in divisors.items():
        if channels % divisor:
            raise ValueError(
                f'channels must be a multiple of {name}, '
                f'got channels={channels} and {name}={divisor}'
            )


def activate(x: Tensor) -> Tensor:
    """The LeakyReLU of FMA-Net, in place."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


def activated(x: Tensor) -> Tensor:
    """:func:`activate` of a part of a tensor, as a new tensor."""
    if torch.is_grad_enabled():
        return _Activated.apply(x)
    return F.leaky_relu(x, NEGATIVE_SLOPE)


class _Activated(torch.autograd.Function):
    """Keeps its result for the gradient, and not what it is a part of."""

    @staticmethod
    def forward(ctx, x):
        out = F.leaky_relu(x, NEGATIVE_SLOPE)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (out,) = ctx.saved_tensors
        return torch.ops.aten.leaky_relu_backward(grad, out, NEGATIVE_SLOPE, True)


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A bias-free 3x3 convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


def conv_pair(
    in_channels: int, hidden_channels: int, out_channels: int, carries: bool = True
) -> Sequential:
    """conv3x3, LeakyReLU, conv3x3: the form of all heads and embeddings.

    Args:
        in_channels (int): Channels of the input.
        hidden_channels (int): Channels between the convolutions.
        out_channels (int): Channels of the output.
        carries (bool): Whether the hidden channels can carry zero channels; not if
            others read them, or the last weight.
    """
    if not carries:
        first = conv3x3(in_channels, hidden_channels)
        last = WideConv2d(hidden_channels, out_channels, 3, widens=False, casts=False)
    else:
        first = WideConv2d(in_channels, hidden_channels, 3)
        last = WideConv2d(hidden_channels, out_channels, 3, widens=False)
    return Sequential(first, nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True), last)


def per_frame(module: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply a module of (N, C, H, W) to every frame of (N, T, C, H, W)."""
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def channels_last(x: Tensor) -> Tensor:
    """Lay (..., C, H, W) out pixel by pixel, the fastest layout for convolutions."""
    return x.movedim(-3, -1).contiguous().movedim(-1, -3)


class LeanModule(BaseModule):
    """A module that computes its large local functions with little memory.

    Without gradients, on strips if there are any; with gradients, checkpointed if
    asked for: only the inputs are kept, and the rest is computed again when the
    gradient is.

    Args:
        with_cp (bool): Whether to checkpoint.
        init_cfg (dict, optional): Initialisation config.
    """

    def __init__(self, with_cp: bool = False, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.with_cp = with_cp

    def run_local(
        self,
        function: Callable[..., Tensor],
        *inputs: Tensor,
        halo: int,
        strips: Strips = WHOLE_FRAMES,
        scale: int = 1,
        max_rows: int | None = None,
    ) -> Tensor:
        """Compute ``function(*inputs)``; see :meth:`~fmanet_mm.ops.Strips.map`."""
        if torch.is_grad_enabled():
            return self.run_checkpointed(function, *inputs)
        return strips.map(function, *inputs, halo=halo, scale=scale, max_rows=max_rows)

    def run_checkpointed(
        self, function: Callable[..., Tensor], *inputs: Tensor
    ) -> Tensor:
        """Compute ``function(*inputs)``, checkpointed if gradients are recorded."""
        if not (self.with_cp and torch.is_grad_enabled()):
            return function(*inputs)
        return checkpoint(
            with_present_weights(self, function),
            *inputs,
            use_reentrant=False,
            preserve_rng_state=False,
        )


class FrameFusion(nn.Conv2d):
    """A 1x1 convolution over the channels of all T frames side by side.

    Its weight is (C_out, C_carry + C*T, 1, 1), the frames' part channel-major:
    channel, then frame. Without gradients the parts are summed up one by one; their
    concatenation is never built.

    Args:
        channels (int): Channels of each frame, C.
        num_frames (int): T.
        carry_channels (int): Channels of a feature before those of the frames.
    """

    def __init__(self, channels: int, num_frames: int, carry_channels: int = 0) -> None:
        super().__init__(
            carry_channels + channels * num_frames, channels, 1, bias=False
        )
        self.num_frames = num_frames
        self.carry_channels = carry_channels

    def forward(self, frames: Tensor, carry: Tensor | None = None) -> Tensor:
        """Fuse (N, T, C, H, W) and, if there is one, ``carry`` to (N, C, H, W)."""
        if torch.is_grad_enabled():
            return self._fuse_at_once(frames, carry)
        for_carry, for_frames = self.weight.tensor_split((self.carry_channels,), 1)
        weights = for_frames.unflatten(1, (-1, self.num_frames)).unbind(2)
        parts = list(zip(frames.unbind(1), weights, strict=True))
        if carry is not None:
            parts.append((carry, for_carry))
        fused = F.conv2d(*parts[0])
        for part in parts[1:]:
            fused += F.conv2d(*part)
        return fused

    def _fuse_at_once(self, frames: Tensor, carry: Tensor | None) -> Tensor:
        """For training, where each of many operations would have a gradient."""
        carried = () if carry is None else (carry,)
        stacked = torch.cat((*carried, *frames.unbind(1)), dim=1)
        for_carry, for_frames = self.weight.tensor_split((self.carry_channels,), 1)
        by_frame = for_frames.unflatten(1, (-1, self.num_frames)).transpose(1, 2)
        weight = by_frame.flatten(1, 2)
        if carried:
            weight = torch.cat((for_carry, weight), dim=1)
        return F.conv2d(stacked, weight)


class TemporalConv(nn.Conv3d):
    """A bias-free 3x3x3 convolution, computed as 2-D convolutions.

    Frames outside the window count as zero and are not computed. In training on a GPU
    its output has zero channels at the end, and its input may have them.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Convolve (N, T, C, H, W) to (N, T, C_out, H, W)."""
        weight = self._prepared(frames) if torch.is_grad_enabled() else self.weight
        return temporal_conv(frames, weight)

    def _prepared(self, frames: Tensor) -> Tensor:
        """Cast the weight once, and pad its channels for a GPU."""
        dtype = autocast_type(frames.device.type) or frames.dtype
        width = padded_channels(self.out_channels, frames.device, dtype)
        zeros = frames.size(2) - self.in_channels, width - self.out_channels
        return F.pad(self.weight.to(dtype), (*(0, 0) * 3, 0, zeros[0], 0, zeros[1]))


def temporal_conv(frames: Tensor, weight: Tensor) -> Tensor:
    """Convolve (N, T, C, H, W) by (C_out, C, 3, k, k), zeros outside."""

    def convolve(frames: Tensor, weight: Tensor) -> Tensor:
        padding = weight.size(-1) // 2
        return per_frame(lambda x: F.conv2d(x, weight, padding=padding), frames)

    from_previous, from_same, from_next = weight.unbind(2)
    out = convolve(frames, from_same)
    if frames.size(1) > 1:
        out[:, 1:] += convolve(frames[:, :-1], from_previous)
        out[:, :-1] += convolve(frames[:, 1:], from_next)
    return out


def compose_convs(first: Tensor, second: Tensor) -> Tensor:
    """The weight of two convolutions with nothing between them.

    Args:
        first (Tensor): (K, C, k, k).
        second (Tensor): (C_out, K, 3, k', k'), of a temporal convolution.

    Returns:
        Tensor: (C_out, C, 3, k + k' - 1, k + k' - 1).
    """
    with raised_precision(first, second) as (first, second):
        flipped = first.transpose(0, 1).flip(2, 3)
        parts = second.movedim(2, 0).flatten(0, 1)
        composed = F.conv2d(parts, flipped, padding=first.size(-1) - 1)
        return composed.unflatten(0, (second.size(2), -1)).movedim(0, 2)
