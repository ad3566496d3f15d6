"""Inference forms of the parts: the same functions with weights prepared once.

What is trained stays close to the paper. From it an inference form is made, in which
weights are cut, scaled and joined once instead of in every call, and features may carry
zero channels up to a multiple that is fast to compute with.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch
from itertools import accumulate, pairwise
from types import ModuleType
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips
from ...ops.channel_products import channel_products
from ...ops.fused import (
    dense_layer,
    find_kernels,
    find_product_kernels,
    normalise,
)
from ...ops.precision import at_least_float32, is_half
from .alignment import DeformableAlignment, MultiFlowWarp
from .fgdf import FlowGuidedDynamicUpsampling
from .layers import NEGATIVE_SLOPE, FrameFusion, LeanModule, activate
from .multi_attention import (
    LEAST_LENGTH,
    ChannelLayerNorm,
    GatedFeedForward,
    GuidedAttention,
    SelfAttention,
    channel_mixing,
)
from .rdb import FeatureExtractor, ResidualDenseBlock

_REFINED_PIXELS = 400 * 640
"""Pixels of which the wide features of a feed-forward network are held at a time."""


class Widths:
    """How wide features are carried.

    Args:
        multiple (int): Channels are carried in multiples of it; the last ones are zero.
    """

    def __init__(self, multiple: int) -> None:
        self.multiple = multiple

    def __call__(self, channels: int) -> int:
        """The width at which a number of channels is carried."""
        return -(-channels // self.multiple) * self.multiple


@singledispatch
def inference_form(module: nn.Module, widths: Widths) -> nn.Module:
    """The inference form of a part.

    Args:
        module (nn.Module): In evaluation mode.
        widths (Widths): How wide its inputs and outputs are carried.

    Returns:
        nn.Module: Called as the part is.

    Raises:
        NotImplementedError: If the part has none for these widths.
    """
    if widths.multiple == 1:
        return module
    raise NotImplementedError(
        f'{type(module).__name__} has no form with padded channels'
    )


def spread(
    weight: Tensor, dim: int, width: int, positions: Iterable[int] | None = None
) -> Tensor:
    """Distribute the slices of a weight over more, which are zero.

    Args:
        weight (Tensor): Any.
        dim (int): Dimension to widen.
        width (int): Its new size.
        positions (Iterable[int], optional): Of the old slices among the new ones; by
            default they come first.
    """
    size = weight.size(dim)
    index = torch.tensor(list(range(size) if positions is None else positions))
    shape = list(weight.shape)
    shape[dim] = width
    wide = weight.new_zeros(shape)
    return wide.index_copy_(dim, index.to(weight.device), weight.detach())


def widened(
    conv: nn.Module,
    in_width: int,
    out_width: int,
    in_positions: Iterable[int] | None = None,
) -> nn.Module:
    """Give a convolution inputs and outputs that carry more channels.

    Args:
        conv (nn.Module): A convolution of 2 or 3 dimensions; changed and returned.
        in_width (int): Channels of its input.
        out_width (int): Channels of its output; the last ones are zero.
        in_positions (Iterable[int], optional): See :func:`spread`.
    """
    weight = spread(conv.weight, 1, in_width, in_positions)
    weight = spread(weight, 0, out_width)
    if weight.dim() == 4:
        weight = weight.contiguous(memory_format=torch.channels_last)
    conv.weight = nn.Parameter(weight, requires_grad=False)
    if conv.bias is not None:
        bias = spread(conv.bias, 0, out_width)
        conv.bias = nn.Parameter(bias, requires_grad=False)
    conv.in_channels, conv.out_channels = in_width, out_width
    return conv


def widen_pair(pair: nn.Sequential, in_width: int, hidden_width: int) -> None:
    """Widen what goes into the two convolutions of a ``conv_pair``."""
    widened(pair[0], in_width, hidden_width)
    widened(pair[-1], hidden_width, pair[-1].out_channels)


class Conv(nn.Module):
    """A convolution with a prepared weight, which keeps height and width.

    Args:
        weight (Tensor): (C_out, C_in, k, k), k odd.
        bias (Tensor, optional): (C_out,).
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.register_buffer('weight', weight)
        self.register_buffer('bias', None if bias is None else bias.detach())

    def forward(
        self, x: Tensor, plus: Tensor | None = None, outputs: slice = slice(None)
    ) -> Tensor:
        """Convolve.

        Args:
            x (Tensor): (N, C_in, H, W).
            plus (Tensor, optional): (N, C_out, H, W), added to the result.
            outputs (slice): Channels of the result to compute.
        """
        weight = self.weight[outputs]
        bias = None if self.bias is None else self.bias[outputs]
        if x.is_cuda and weight[0, 0].numel() == 1:
            return self._multiply(x, weight.flatten(1), bias, plus)
        out = F.conv2d(x, weight, bias, padding=weight.size(-1) // 2)
        return out if plus is None else out.add_(plus)

    @staticmethod
    def _multiply(
        x: Tensor, weight: Tensor, bias: Tensor | None, plus: Tensor | None
    ) -> Tensor:
        """As a matrix product, which adds either in the same kernel."""
        pixels = x.permute(0, 2, 3, 1)
        if plus is None or bias is not None:
            out = F.linear(pixels, weight, bias).permute(0, 3, 1, 2)
            return out if plus is None else out.add_(plus)
        plus = plus.permute(0, 2, 3, 1).flatten(0, 2)
        out = torch.addmm(plus, pixels.flatten(0, 2), weight.mT)
        return out.unflatten(0, pixels.shape[:3]).permute(0, 3, 1, 2)


class FusionConv(Conv):
    """A 1x1 convolution of features side by side, one kernel on a GPU.

    Args:
        weights (Sequence[Tensor]): For each feature, (C_out, C_i, 1, 1).
        bias (Tensor, optional): (C_out,).
    """

    def __init__(self, weights: Sequence[Tensor], bias: Tensor | None = None) -> None:
        super().__init__(torch.cat(tuple(weights), dim=1), bias)

    def forward(self, inputs: Sequence[Tensor], plus: Tensor | None = None) -> Tensor:
        """Convolve features (N, C_i, H, W), and add ``plus``, (N, C_out, H, W)."""
        kernels = find_product_kernels(inputs[0])
        if kernels:
            weight = self.weight.flatten(1)
            return kernels.fuse_channels(list(inputs), weight, self.bias, plus)
        x = inputs[0] if len(inputs) == 1 else torch.cat(tuple(inputs), dim=1)
        return super().forward(x, plus)

    def accumulate(self, x: Tensor, total: Tensor | None) -> Tensor:
        """Convolve one feature and add it to a sum, in at least float32.

        Args:
            x (Tensor): (N, C, H, W).
            total (Tensor, optional): (N, C_out, H, W); may be overwritten.
        """
        if total is not None and find_product_kernels(x):
            return self((x,), plus=total)
        part = at_least_float32(self((x,)))
        return part if total is None else total.add_(part)


class DenseBlockForm(LeanModule):
    """Of a :class:`ResidualDenseBlock`: one weight for each part of its features.

    Args:
        block (ResidualDenseBlock): The block.
        widths (Widths): How wide features are carried.
    """

    def __init__(self, block: ResidualDenseBlock, widths: Widths) -> None:
        super().__init__()
        self.halo = block.halo
        self.growth = widths(block.growth_channels)
        sizes = [block.channels] + [block.growth_channels] * len(block.layers)
        weights = [
            layer.weight.split(sizes[: i + 1], 1)
            for i, layer in enumerate(block.layers)
        ]
        self.convs = nn.ModuleList(
            Conv(
                torch.cat(
                    [
                        spread(spread(parts[i], 0, self.growth), 1, widths(size))
                        for parts in weights[i:]
                    ]
                )
            )
            for i, size in enumerate(sizes[:-1])
        )
        width = widths(block.channels)
        fusion = [
            spread(spread(part, 0, width), 1, widths(size))
            for part, size in zip(
                block.fusion.weight.split(sizes, 1), sizes, strict=True
            )
        ]
        bias = spread(block.fusion.bias, 0, width)
        self.fusion = FusionConv(fusion, bias)
        self.fusion_input = Conv(fusion[0], bias)
        self.fusion_outputs = Conv(torch.cat(fusion[1:], dim=1))

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        return self.run_local(self.compute, x, halo=self.halo, strips=strips)

    def compute(self, x: Tensor) -> Tensor:
        """:meth:`forward` without strips."""
        outputs, parts = [], []
        for conv in self.convs:
            parts.append(conv(outputs[-1] if outputs else x))
            outputs.append(dense_layer(parts, self.growth, NEGATIVE_SLOPE))
        del parts
        if is_half(outputs[0]):
            # A single convolution rounds only once.
            return self.fusion((x, *outputs), plus=x)
        # The sum of two is more exact in float32, and takes less memory.
        fused = self.fusion_input(x)
        return self.fusion_outputs(torch.cat(outputs, dim=1), plus=fused).add_(x)


class FeatureExtractorForm(nn.Module):
    """Of a :class:`FeatureExtractor`: a fusing weight for each block.

    Args:
        extractor (FeatureExtractor): The extractor; its convolutions are changed.
        in_width (int): Channels of the input.
        in_positions (Iterable[int]): See :func:`spread`.
        widths (Widths): How wide features are carried.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        in_width: int,
        in_positions: Iterable[int],
        widths: Widths,
    ) -> None:
        super().__init__()
        blocks = extractor.blocks
        width = widths(extractor.conv_last.in_channels)
        self.conv_first = widened(extractor.conv_first, in_width, width, in_positions)
        self.blocks = nn.ModuleList(inference_form(block, widths) for block in blocks)
        self.fusions = nn.ModuleList(
            FusionConv([spread(spread(weight, 0, width), 1, width)])
            for weight in extractor.fusion.weight.chunk(len(blocks), dim=1)
        )
        self.conv_last = widened(extractor.conv_last, width, width)

    def forward(self, x: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H, W)."""
        first = activate(self.conv_first(x))
        feature, fused = first, None
        for block, fusion in zip(self.blocks, self.fusions, strict=True):
            feature = block(feature, strips)
            fused = fusion.accumulate(feature, fused)
        return first + self.conv_last(fused.to(feature.dtype))


class FrameFusionForm(nn.Module):
    """Of a :class:`FrameFusion`: a weight for each frame.

    Args:
        fusion (FrameFusion): The fusion.
        widths (Widths): How wide features are carried.
    """

    def __init__(self, fusion: FrameFusion, widths: Widths) -> None:
        super().__init__()
        width = widths(fusion.out_channels)
        weight = spread(fusion.weight, 0, width)
        carry, frames = weight.tensor_split((fusion.carry_channels,), 1)
        weights = list(frames.unflatten(1, (-1, fusion.num_frames)).unbind(2))
        if fusion.carry_channels:
            weights.append(carry)
        weights = [spread(w, 1, widths(w.size(1))) for w in weights]
        self.convs = nn.ModuleList(map(Conv, weights))
        self.fusion = FusionConv(weights)

    def forward(self, frames: Tensor, carry: Tensor | None = None) -> Tensor:
        """See :meth:`FrameFusion.forward`."""
        inputs = (*frames.unbind(1), *([] if carry is None else [carry]))
        if find_product_kernels(frames):
            return self.fusion(inputs)
        fused = None
        for conv, x in zip(self.convs, inputs, strict=True):
            fused = conv(x, plus=fused)
        return fused


class AlignmentForm(nn.Module):
    """Of an alignment: leaves out the zero channels, which do not divide into groups.

    Args:
        alignment (nn.Module): See :mod:`~fmanet_mm.models.common.alignment`.
        widths (Widths): How wide features are carried.
    """

    def __init__(self, alignment: nn.Module, widths: Widths) -> None:
        super().__init__()
        self.alignment = alignment
        self.channels = alignment.channels
        self.flow_channels = 3 * alignment.num_flows
        self.zeros = widths(self.channels) - self.channels

    def prepare(self, feature: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.prepare`."""
        return self.alignment.prepare(feature[:, : self.channels])

    def forward(self, prepared: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.forward`."""
        aligned = self.alignment(prepared, flow_masks[:, : self.flow_channels], rows)
        return F.pad(aligned, (0, 0, 0, 0, 0, self.zeros)) if self.zeros else aligned


class MultiFlowWarpForm(AlignmentForm):
    """Of a :class:`MultiFlowWarp`: one kernel on a GPU."""

    def prepare(self, feature: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.prepare`."""
        return feature if find_kernels(feature) else super().prepare(feature)

    def forward(self, prepared: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.forward`; of the features' type in one kernel."""
        kernels = find_kernels(prepared)
        if kernels:
            flow_masks = flow_masks[:, : self.flow_channels]
            return kernels.warp_channels(prepared, flow_masks, rows, self.channels)
        return super().forward(prepared, flow_masks, rows)


class DynamicUpsamplingForm(nn.Module):
    """Of a :class:`FlowGuidedDynamicUpsampling`: one kernel on a GPU.

    Args:
        upsampling (FlowGuidedDynamicUpsampling): The upsampling.
    """

    def __init__(self, upsampling: FlowGuidedDynamicUpsampling) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.kernel_size, self.scale = upsampling.kernel_size, upsampling.scale
        self.flow_guided = upsampling.flow_guided

    def forward(self, warped: Tensor, kernels: Tensor) -> Tensor:
        """See :meth:`FlowGuidedDynamicUpsampling.forward`."""
        fused = find_kernels(kernels)
        if fused:
            return fused.dynamic_upsample(warped, kernels, self.kernel_size, self.scale)
        return self.upsampling(warped, kernels)


class Projection(NamedTuple):
    """A 1x1 convolution and a depth-wise one of 3x3.

    Attributes:
        weight (Tensor): (C_out, C, 1, 1), of the first convolution.
        depthwise (Tensor): (C_out, 1, 3, 3), of the second.
        width (int): Channels of the output.
        positions (Iterable[int], optional): See :func:`spread`; of the outputs.
    """

    weight: Tensor
    depthwise: Tensor
    width: int
    positions: Iterable[int] | None = None


class ProjectionForm(nn.Module):
    """Projections of a normalised feature.

    Gain and offset of the normalisation are part of the first weights. Where there are
    kernels for it, one matrix product computes what all depth-wise convolutions read.

    Args:
        norm (ChannelLayerNorm, optional): Whose gain and offset to take.
        projections (Sequence[Projection]): The projections.
        in_width (int): Channels of the input.
    """

    def __init__(
        self,
        norm: ChannelLayerNorm | None,
        projections: Sequence[Projection],
        in_width: int,
    ) -> None:
        super().__init__()
        weights, biases, depthwise = [], [], []
        for projection in projections:
            weight, out = projection.weight, (projection.width, projection.positions)
            if norm is not None:
                if norm.bias is not None:
                    biases.append(spread(weight.flatten(1) @ norm.bias, 0, *out))
                weight = weight * norm.weight.view(-1, 1, 1)
            weights.append(spread(spread(weight, 1, in_width), 0, *out))
            depthwise.append(spread(projection.depthwise, 0, *out))
        self.project = Conv(torch.cat(weights), torch.cat(biases) if biases else None)
        depthwise = torch.cat(depthwise).detach()
        self.register_buffer(
            'depthwise', depthwise.contiguous(memory_format=torch.channels_last)
        )
        # The kernels read a weight of neighbouring channels at a time.
        self.register_buffer('taps', depthwise.flatten(1).T.contiguous())
        ends = accumulate((projection.width for projection in projections), initial=0)
        self.parts = [slice(*part) for part in pairwise(ends)]

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        """Project (N, C, H, W), one by one; each result is (N, C_out, H, W)."""
        kernels = find_kernels(x)
        if kernels:
            projected = self.project(x)
            for part in self.parts:
                yield kernels.depthwise(projected[:, part], self.taps[:, part])
            return
        for part in self.parts:
            weight = self.depthwise[part]
            # What is between has no name, which would keep it in memory.
            yield F.conv2d(
                self.project(x, outputs=part), weight, padding=1, groups=len(weight)
            )

    def gated(self, x: Tensor) -> Tensor:
        """``gelu(gate) * value`` of two projections, (N, C_out, H, W)."""
        kernels = find_kernels(x)
        if kernels:
            return kernels.gated_depthwise(self.project(x), self.taps)
        gate, value = self(x)
        return F.gelu(gate).mul_(value)


class FeedForwardForm(nn.Module):
    """Of a :class:`GatedFeedForward` and the normalisation before it.

    Args:
        ffn (GatedFeedForward): The network.
        norm (ChannelLayerNorm): What is before it.
        widths (Widths): How wide features are carried.
    """

    def __init__(
        self, ffn: GatedFeedForward, norm: ChannelLayerNorm, widths: Widths
    ) -> None:
        super().__init__()
        channels, hidden = ffn.project_out.weight.shape[:2]
        width, hidden_width = widths(channels), widths(hidden)
        weights = zip(
            ffn.project_in.weight.chunk(2), ffn.depthwise.weight.chunk(2), strict=True
        )
        projections = [
            Projection(weight, depthwise, hidden_width) for weight, depthwise in weights
        ]
        self.project_in = ProjectionForm(norm, projections, width)
        weight = spread(spread(ffn.project_out.weight, 0, width), 1, hidden_width)
        self.project_out = Conv(weight)

    def forward(self, normalised: Tensor, x: Tensor) -> Tensor:
        """Map a normalised feature to what is added to ``x``, and add it.

        Args:
            normalised (Tensor): (N, C, H, W).
            x (Tensor): (N, C, H, W).
        """
        return self.project_out(self.project_in.gated(normalised), plus=x)


class GuidedAttentionForm(LeanModule):
    """Of a :class:`GuidedAttention`: normalises once, and keeps the values.

    Args:
        layer (GuidedAttention): The layer.
        widths (Widths): How wide features, and the channels of a head, are carried.
    """

    def __init__(self, layer: GuidedAttention, widths: Widths) -> None:
        super().__init__()
        attention, norm = layer.attention, layer.attention_norm
        self.query_normalised = isinstance(layer, SelfAttention)
        self.num_heads = attention.num_heads
        self.channels = attention.query.in_channels
        self.centred, self.eps = norm.bias is not None, norm.eps
        width = widths(self.channels)
        head = self.channels // self.num_heads
        self.head_width = widths(head)
        positions = [
            h * self.head_width + i for h in range(self.num_heads) for i in range(head)
        ]
        of_heads = self.num_heads * self.head_width, positions
        query = Projection(
            attention.query.weight, attention.query_depthwise.weight, *of_heads
        )
        weights = attention.key_value.weight, attention.key_value_depthwise.weight
        (key, value), (key_depthwise, value_depthwise) = (w.chunk(2) for w in weights)
        projections = [
            Projection(key, key_depthwise, *of_heads),
            Projection(value, value_depthwise, width),
        ]
        if self.query_normalised:
            projections.insert(0, query)
        else:
            self.query = ProjectionForm(None, [query], width)
        self.projections = ProjectionForm(norm, projections, width)
        project = attention.project_out.weight.detach().flatten(1)
        self.register_buffer('project_out', project)
        self.register_buffer('temperature', attention.temperature.detach())
        self.ffn = FeedForwardForm(layer.ffn, layer.ffn_norm, widths)

    def forward(
        self, feature: Tensor, guide: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """See :meth:`GuidedAttention.forward`."""
        values, mixing = self._attend(feature, guide, strips)
        return strips.map(
            lambda feature, values: self._refine(feature, values, mixing),
            feature,
            values,
            halo=1,
            max_rows=max(1, _REFINED_PIXELS // feature.size(-1)),
        )

    def _attend(
        self, feature: Tensor, guide: Tensor, strips: Strips
    ) -> tuple[Tensor, Tensor]:
        """The values, (N, C, H, W), and how to mix them, (N, C, C)."""
        height = feature.size(-2)
        sums, values = [], None
        for strip in strips.split(height, halo=1):
            projections = self.projections(self._normalise(strip.read(feature)))
            queries = projections
            if not self.query_normalised:
                queries = self.query(strip.read(guide))
            query, key = next(queries), next(projections)
            sums.append(self._sums(strip.crop(query), strip.crop(key)))
            values = strip.write(next(projections), values, height)
        return values, self._mixing(sums, feature)

    def _sums(self, query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
        """What :meth:`_mixing` is computed from, of a strip."""
        kernels = self._find_kernels(query)
        if kernels:
            return (kernels.channel_sums(query, key, self.num_heads),)
        return channel_products(query, key, self.num_heads)

    def _mixing(self, sums: list[tuple[Tensor, ...]], feature: Tensor) -> Tensor:
        """How to mix the values, (N, C, C), from the sums of all strips."""
        width = feature.size(1)
        kernels = self._find_kernels(feature)
        if kernels:
            (parts,) = zip(*sums, strict=True)
            return kernels.channel_mixing(
                parts[0] if len(parts) == 1 else torch.cat(parts, dim=1),
                self.temperature,
                self.project_out,
                width,
                LEAST_LENGTH,
            )
        products, queries, keys = (sum(parts) for parts in zip(*sums, strict=True))
        head = self.channels // self.num_heads
        queries, keys = (
            x.unflatten(1, (self.num_heads, -1))[..., :head] for x in (queries, keys)
        )
        mixing = channel_mixing(
            products[..., :head, :head],
            queries,
            keys,
            self.temperature,
            self.project_out,
        )
        zeros = width - self.channels
        return F.pad(mixing, (0, zeros, 0, zeros)).to(feature.dtype)

    def _find_kernels(self, x: Tensor) -> ModuleType | None:
        kernels = find_kernels(x)
        is_wide = kernels and self.head_width > kernels.WIDEST_HEAD
        return None if is_wide else kernels

    def _refine(self, feature: Tensor, values: Tensor, mixing: Tensor) -> Tensor:
        pixels, values = (
            x.permute(0, 2, 3, 1).flatten(1, 2) for x in (feature, values)
        )
        mixed = torch.baddbmm(pixels, values, mixing.mT)
        mixed = mixed.unflatten(1, feature.shape[2:]).permute(0, 3, 1, 2)
        return self.ffn(self._normalise(mixed), mixed)

    def _normalise(self, x: Tensor) -> Tensor:
        return normalise(x, self.channels, self.centred, self.eps)


@inference_form.register
def _(module: ResidualDenseBlock, widths: Widths) -> nn.Module:
    return DenseBlockForm(module, widths)


@inference_form.register
def _(module: FrameFusion, widths: Widths) -> nn.Module:
    return FrameFusionForm(module, widths)


@inference_form.register
def _(module: GuidedAttention, widths: Widths) -> nn.Module:
    return GuidedAttentionForm(module, widths)


@inference_form.register
def _(module: MultiFlowWarp, widths: Widths) -> nn.Module:
    return MultiFlowWarpForm(module, widths)


@inference_form.register
def _(module: DeformableAlignment, widths: Widths) -> nn.Module:
    return AlignmentForm(module, widths)
