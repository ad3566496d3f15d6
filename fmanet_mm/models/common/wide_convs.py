"""Convolutions whose weights are cast all at once, for training in mixed precision.

Autocast casts each weight where it is used, and its gradient back: two small operations
for each of hundreds of weights, and on a GPU two more that change their layout. What
costs time there is to start them. Here weights of equal width are joined, and a few
operations cast them all, laid out as convolutions want them.

On a GPU, weights of convolutions that can carry zero channels are padded on the way to
what tensor cores compute at a time. Neither results nor gradients change.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ...ops import trained
from ...ops.precision import autocast_type

_ALIGNED_BYTES = 16
"""The channels of a pixel should be a multiple of it for the tensor cores of a GPU."""


def padded_channels(channels: int, device: torch.device, dtype: torch.dtype) -> int:
    """How many channels, of which the last are zero, are computed fastest.

    Args:
        channels (int): Channels there are.
        device (torch.device): Where.
        dtype (torch.dtype): What they are computed in.
    """
    if device.type != 'cuda':
        return channels
    multiple = _ALIGNED_BYTES // dtype.itemsize
    return -(-channels // multiple) * multiple


def widen(x: Tensor, channels: int) -> Tensor:
    """Append zero channels to (N, C, H, W), up to a number of them."""
    zeros = channels - x.size(1)
    return F.pad(x, (0, 0, 0, 0, 0, zeros)) if zeros else x


def narrow(x: Tensor, channels: int) -> Tensor:
    """Leave out the zero channels of (N, C + zero channels, H, W)."""
    return x if x.size(1) == channels else x[:, :channels]


class WideConv2d(nn.Conv2d):
    """A bias-free convolution that keeps height and width, and can carry zero channels.

    In training on a GPU :func:`cast_convolutions` may pad its weight: then its output
    has zero channels at the end, and its input may have them.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): Odd.
        groups (int): 1, or as many as there are channels.
        parts (int): Parts of the output, each of which has zero channels at its end.
        unit (int): What the number of channels is a multiple of, with zero channels
            as well.
        widens (bool): Whether the output has zero channels.
        casts (bool): Whether the weight is cast and padded at all; not if others
            compute with it in at least float32.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        groups: int = 1,
        parts: int = 1,
        unit: int = 1,
        widens: bool = True,
        casts: bool = True,
    ) -> None:
        padding = kernel_size // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=padding,
            groups=groups,
            bias=False,
        )
        self.parts, self.unit = parts, unit
        self.widens, self.casts = widens, casts

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C_out, H, W), either with zero channels."""
        groups = self.weight.size(0) if self.groups > 1 else 1
        x = widen(x, groups * self.weight.size(1))
        return F.conv2d(x, self.weight, padding=self.padding, groups=groups)


@contextmanager
def cast_convolutions(model: nn.Module) -> Iterator[None]:
    """Let a model compute with weights that were cast and padded at once.

    Values and gradients are those that autocast gives. Without gradients, when it is
    compiled, and on a CPU without autocast, the model is left as it is.

    Args:
        model (nn.Module): Its parameters are replaced within the context.
    """
    first = next(model.parameters(), torch.empty(0))
    pads = trained.has_kernels(first)
    dtype = autocast_type(first.device.type) or (first.dtype if pads else None)
    if dtype is None or not torch.is_grad_enabled() or torch.compiler.is_compiling():
        yield
        return
    places = [
        (module, 'weight', module.weight)
        for module in model.modules()
        if isinstance(module, nn.Conv2d) and getattr(module, 'casts', True)
    ]
    cast = _cast_all(places, dtype, pads)
    with _replaced([(m, n, cast[id(weight)]) for m, n, weight in places]):
        yield


def with_present_weights(module: nn.Module, function: Callable) -> Callable:
    """Let a function compute with the weights that a module has now, at any time.

    For what is computed again when the gradient is, after :func:`cast_convolutions`.
    """
    places = [
        (part, name, weight)
        for part in module.modules()
        for name, weight in part._parameters.items()
        if weight is not None
    ]

    def call(*inputs: Tensor) -> Tensor:
        with _replaced(places):
            return function(*inputs)

    return call


@contextmanager
def _replaced(places: list[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    before = [(part, name, part._parameters[name]) for part, name, _ in places]
    try:
        for part, name, weight in places:
            part._parameters[name] = weight
        yield
    finally:
        for part, name, weight in before:
            part._parameters[name] = weight


def _cast_all(
    places: list[tuple[nn.Module, str, Tensor]], dtype: torch.dtype, pads: bool
) -> dict[int, Tensor]:
    """Cast weights, by their identities."""
    groups = defaultdict(dict)
    for module, _, weight in places:
        pads_it = pads and isinstance(module, WideConv2d)
        sizes = _output_sizes(module, weight, dtype, pads_it)
        in_channels = weight.size(1)
        if pads_it and in_channels > 1:
            in_channels = padded_channels(in_channels, weight.device, dtype)
        key = weight.shape[1:], in_channels, weight.dtype
        groups[key][id(weight)] = weight, sizes
    cast = {}
    for (_, in_channels, _), group in groups.items():
        weights, sizes = zip(*group.values(), strict=True)
        together = _CastTogether.apply(*weights, sizes, in_channels, dtype)
        cast |= zip(group, together, strict=True)
    return cast


def _output_sizes(
    module: nn.Module, weight: Tensor, dtype: torch.dtype, pads: bool
) -> list[tuple[int, int]]:
    """Output channels of each part of a weight, and how many there will be."""
    if not (pads and module.widens):
        return [(weight.size(0), weight.size(0))]
    size = weight.size(0) // module.parts
    units = padded_channels(size // module.unit, weight.device, dtype)
    return [(size, units * module.unit)] * module.parts


class _CastTogether(torch.autograd.Function):
    """Cast weights (C_out, C, k, k) of the same C and k, channels last in memory."""

    @staticmethod
    def forward(ctx, *arguments):
        *weights, sizes, in_channels, dtype = arguments
        ctx.set_materialize_grads(False)
        first = weights[0]
        ctx.sizes, ctx.in_channels, ctx.dtype = sizes, first.size(1), first.dtype
        most = max(to - size for parts in sizes for size, to in parts)
        zeros = first.new_zeros((most, *first.shape[1:])) if most else None
        rows = []
        for weight, parts in zip(weights, sizes, strict=True):
            for part, (size, to) in zip(weight.chunk(len(parts)), parts, strict=True):
                rows += [part, zeros[: to - size]] if to > size else [part]
        joined = torch.cat(rows)
        layout = torch.channels_last
        if in_channels > first.size(1):
            shape = joined.size(0), in_channels, *first.shape[2:]
            wide = torch.zeros(shape, dtype=dtype, device=first.device).contiguous(
                memory_format=layout
            )
            wide[:, : first.size(1)].copy_(joined)
        else:
            wide = joined.to(dtype, memory_format=layout)
        return wide.split([sum(to for _, to in parts) for parts in sizes])

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        some = next((grad for grad in grads if grad is not None), None)
        if some is None:
            return (None,) * (len(grads) + 3)
        rows = []
        for grad, parts in zip(grads, ctx.sizes, strict=True):
            if grad is None:
                grad = some.new_zeros((sum(to for _, to in parts), *some.shape[1:]))
            of_parts = grad.chunk(len(parts))
            rows += [g[:size] for g, (size, _) in zip(of_parts, parts, strict=True)]
        joined = torch.cat(rows)[:, : ctx.in_channels]
        joined = joined.to(ctx.dtype, memory_format=torch.contiguous_format)
        weights = joined.split([sum(size for size, _ in parts) for parts in ctx.sizes])
        of_weights = (
            None if grad is None else weight
            for grad, weight in zip(grads, weights, strict=True)
        )
        return *of_weights, None, None, None
