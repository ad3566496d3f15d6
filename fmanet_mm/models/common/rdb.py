"""Residual dense blocks, and the feature extractor built from them."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ...ops.lean_convs import conv_concatenated
from ...ops.precision import at_least_float32, autocast_type, is_half
from .layers import (
    LeanModule,
    activate,
    activated,
    conv3x3,
)
from .wide_convs import WideConv2d, narrow, padded_channels, widen


class DenseWeights(NamedTuple):
    """Weights of a :class:`ResidualDenseBlock`, cut for the parts of its feature.

    Attributes:
        parts (tuple[Tensor]): What the block's input, and each layer's output but the
            last, add to the layers behind them.
        fusion (Tensor): Of the input and all outputs.
        bias (Tensor): Of the fusion.
    """

    parts: tuple[Tensor, ...]
    fusion: Tensor
    bias: Tensor


class ResidualDenseBlock(LeanModule):
    """Dense 3x3 layers, a 1x1 fusion and a skip connection (RDB).

    Layer i convolves the block's input and the outputs of the layers before it. A
    convolution of a concatenation is the sum of convolutions of its parts; so the
    input is convolved once for all layers, each layer's output once for all layers
    behind it, and nothing is concatenated but the narrow layer outputs.

    Args:
        channels (int): Channels of input and output.
        growth_channels (int): Channels that each layer adds.
        num_layers (int): Number of dense layers.
        with_cp (bool): Whether to checkpoint in training.

    Attributes:
        halo (int): Rows around its own that an output row depends on.
        weights_of_step (DenseWeights, optional): See :func:`cut_dense_weights`.
    """

    def __init__(
        self,
        channels: int,
        growth_channels: int,
        num_layers: int,
        with_cp: bool = False,
    ) -> None:
        super().__init__(with_cp)
        self.halo = num_layers
        self.channels = channels
        self.growth_channels = growth_channels
        self.layers = nn.ModuleList(
            conv3x3(channels + i * growth_channels, growth_channels)
            for i in range(num_layers)
        )
        self.fusion = nn.Conv2d(channels + num_layers * growth_channels, channels, 1)
        self.weights_of_step: DenseWeights | None = None

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C, H, W), with zero channels or without, to the same size."""
        weights = self.weights_of_step or dense_weights([self], x)[0]
        return self.run_local(
            lambda x: self.compute(x, weights), x, halo=self.halo, strips=strips
        )

    def compute(self, x: Tensor, weights: DenseWeights) -> Tensor:
        """:meth:`forward`, neither on strips nor checkpointed."""
        channels = x.size(1)
        x = widen(x, weights.fusion.size(0))
        sums = F.conv2d(x, weights.parts[0], padding=1)
        growth = sums.size(1) // len(self.layers)
        outputs = []
        for part in weights.parts[1:]:
            output, sums = sums.split((growth, sums.size(1) - growth), dim=1)
            outputs.append(activated(output))
            sums = sums + F.conv2d(outputs[-1], part, padding=1)
        outputs.append(activated(sums))
        return narrow(self._fuse(x, outputs, weights), channels)

    def _fuse(self, x: Tensor, outputs: list[Tensor], weights: DenseWeights) -> Tensor:
        convolve = conv_concatenated if torch.is_grad_enabled() else _convolve
        if is_half(outputs[0]):
            # A single convolution rounds only once.
            return convolve([x, *outputs], weights.fusion, weights.bias) + x
        # The sum of two is more exact in float32, and takes less memory.
        from_input, from_outputs = weights.fusion.tensor_split((x.size(1),), 1)
        fused = F.conv2d(x, from_input, weights.bias)
        fused += convolve(outputs, from_outputs)
        fused += x
        return fused


def _convolve(
    parts: list[Tensor], weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    return F.conv2d(torch.cat(parts, dim=1), weight, bias)


@contextmanager
def cut_dense_weights(model: nn.Module) -> Iterator[None]:
    """Cut the weights of all dense blocks of a model at once, for a training step.

    Each block would do so otherwise, by as many small operations.

    Args:
        model (nn.Module): Whose blocks compute with these weights in the context.
    """
    alike = defaultdict(list)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        for block in model.modules():
            if isinstance(block, ResidualDenseBlock):
                sizes = block.channels, block.growth_channels, len(block.layers)
                alike[sizes].append(block)
    try:
        for blocks in alike.values():
            cut = dense_weights(blocks, blocks[0].fusion.weight)
            for block, weights in zip(blocks, cut, strict=True):
                block.weights_of_step = weights
        yield
    finally:
        for blocks in alike.values():
            for block in blocks:
                block.weights_of_step = None


def dense_weights(blocks: list[ResidualDenseBlock], x: Tensor) -> list[DenseWeights]:
    """Cut the weights of dense blocks of the same sizes, all at once.

    On a GPU their channels are padded with zeros to what its tensor cores compute at a
    time, which is much faster, and changes neither the result nor the gradients.

    Args:
        blocks (list[ResidualDenseBlock]): The blocks.
        x (Tensor): Of the type and on the device of their inputs, but for autocast.
    """
    sizes = [blocks[0].channels] + [blocks[0].growth_channels] * len(blocks[0].layers)
    dtype = autocast_type(x.device.type) or x.dtype
    wide = [padded_channels(size, x.device, dtype) for size in sizes]

    def cut(weights: Iterable, count: int, out: int) -> list[Tensor]:
        """``count`` parts of (B, O, C, k, k), padded to ``out`` output channels."""
        parts = torch.stack(list(weights)).split(sizes[:count], dim=2)
        if wide == sizes:
            return list(parts)
        return [
            F.pad(part, (0, 0, 0, 0, 0, width - part.size(2), 0, out - part.size(1)))
            for part, width in zip(parts, wide, strict=False)
        ]

    def unstack(weights: Tensor) -> tuple[Tensor, ...]:
        joined = weights.flatten(0, 1).to(dtype, memory_format=torch.channels_last)
        return joined.split(weights.size(1))

    layers = [
        cut((block.layers[i].weight for block in blocks), i + 1, wide[1])
        for i in range(len(sizes) - 1)
    ]
    parts = [
        unstack(torch.cat([layer[i] for layer in layers[i:]], dim=1))
        for i in range(len(layers))
    ]
    fusion = cut((block.fusion.weight for block in blocks), len(sizes), wide[0])
    bias = torch.stack([block.fusion.bias for block in blocks])
    bias = F.pad(bias, (0, wide[0] - sizes[0])).to(dtype)
    return [
        DenseWeights(tuple(of_block), fusion, bias)
        for *of_block, fusion, bias in zip(
            *parts, unstack(torch.cat(fusion, dim=2)), bias.unbind(), strict=True
        )
    ]


class FeatureExtractor(BaseModule):
    """First convolution and a chain of residual dense blocks (RRDB).

    The outputs of all blocks are fused by a 1x1 convolution, summed up as they
    arise, and a 3x3 convolution; the chain's input is added.

    Args:
        in_channels (int): Channels of the input.
        channels (int): Channels of the feature, C.
        num_blocks (int): Number of residual dense blocks.
        growth_channels (int): See :class:`ResidualDenseBlock`.
        num_layers (int): See :class:`ResidualDenseBlock`.
        with_cp (bool): Whether to checkpoint the dense blocks in training.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_blocks: int,
        growth_channels: int,
        num_layers: int,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.conv_first = WideConv2d(in_channels, channels, 3)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(channels, growth_channels, num_layers, with_cp)
            for _ in range(num_blocks)
        )
        self.fusion = nn.Conv2d(num_blocks * channels, channels, 1, bias=False)
        self.conv_last = WideConv2d(channels, channels, 3)

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H, W)."""
        if torch.is_grad_enabled():
            return self._train(x)
        first = activate(self.conv_first(x))
        fusions = self.fusion.weight.chunk(len(self.blocks), dim=1)
        feature, fused = first, None
        for block, weight in zip(self.blocks, fusions, strict=True):
            feature = block(feature, strips)
            part = at_least_float32(F.conv2d(feature, weight))
            fused = part if fused is None else fused.add_(part)
        return first + self.conv_last(fused.to(feature.dtype))

    def _train(self, x: Tensor) -> Tensor:
        """Fuse the features of all blocks, which are kept anyway, at once."""
        first = activate(self.conv_first(x))
        channels = self.conv_first.out_channels
        width = padded_channels(channels, first.device, first.dtype)
        feature, features = widen(first, width), []
        for block in self.blocks:
            feature = block(feature)
            features.append(feature)
        weight = self.fusion.weight.unflatten(1, (len(self.blocks), -1))
        zeros = width - channels
        weight = F.pad(weight, (0, 0, 0, 0, 0, zeros, 0, 0, 0, zeros))
        fused = conv_concatenated(features, weight.flatten(1, 2))
        fused = self.conv_last(narrow(fused, self.conv_last.weight.size(1)))
        out = widen(first, fused.size(1)) + fused
        return narrow(out, channels)
