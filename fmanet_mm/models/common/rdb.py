"""Residual dense blocks, and the feature extractor built from them."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ...ops.precision import at_least_float32, is_half
from .layers import LeanModule, activate, channels_last, conv3x3


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

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        return self.run_local(self.compute, x, halo=self.halo, strips=strips)

    def compute(self, x: Tensor) -> Tensor:
        """:meth:`forward`, neither on strips nor checkpointed."""
        sums = self._convolve(x, 0)
        outputs = []
        for i in range(1, len(self.layers) + 1):
            # Copy: convolving a slice of channels is slow.
            output = activate(channels_last(sums[:, : self.growth_channels]))
            outputs.append(output)
            if i < len(self.layers):
                sums = sums[:, self.growth_channels :] + self._convolve(output, i)
        return self._fuse(x, outputs)

    def _convolve(self, x: Tensor, first: int) -> Tensor:
        """What the block's input or a layer's output adds to the layers behind it.

        Layer ``first`` is the first one that reads ``x``.
        """
        end = self.channels + first * self.growth_channels
        weight = [layer.weight[:, end - x.size(1) : end] for layer in self.layers]
        return F.conv2d(x, torch.cat(weight[first:]), padding=1)

    def _fuse(self, x: Tensor, outputs: list[Tensor]) -> Tensor:
        if is_half(outputs[0]):
            # A single convolution rounds only once.
            return self.fusion(torch.cat((x, *outputs), dim=1)) + x
        # The sum of two is more exact in float32, and takes less memory.
        from_input, from_outputs = self.fusion.weight.tensor_split((self.channels,), 1)
        fused = F.conv2d(x, from_input, self.fusion.bias)
        fused += F.conv2d(torch.cat(outputs, dim=1), from_outputs)
        fused += x
        return fused


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
        self.conv_first = conv3x3(in_channels, channels)
        self.blocks = nn.ModuleList(
            ResidualDenseBlock(channels, growth_channels, num_layers, with_cp)
            for _ in range(num_blocks)
        )
        self.fusion = nn.Conv2d(num_blocks * channels, channels, 1, bias=False)
        self.conv_last = conv3x3(channels, channels)

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H, W)."""
        first = activate(self.conv_first(x))
        weights = self.fusion.weight.chunk(len(self.blocks), dim=1)
        feature, fused = first, None
        for block, weight in zip(self.blocks, weights, strict=True):
            feature = block(feature, strips)
            part = at_least_float32(F.conv2d(feature, weight))
            fused = part if fused is None else fused.add_(part)
        return first + self.conv_last(fused.to(feature.dtype))
