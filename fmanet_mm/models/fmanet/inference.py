"""The inference form of FMA-Net: NetD and NetR with weights prepared once."""

import copy

from torch import Tensor, nn

from ...ops import Strips
from ...ops.fused import activated_sum
from ..common.fgdf import FlowGuidedDynamicUpsampling
from ..common.inference import (
    Conv,
    DynamicUpsamplingForm,
    FeatureExtractorForm,
    Widths,
    inference_form,
    spread,
    widen_pair,
    widened,
)
from ..common.layers import NEGATIVE_SLOPE, activate, channels_last, per_frame
from .frma import FlowMaskUpdate, FRMABlock
from .net_d import NetD
from .net_r import ComposedKernelEmbedding, HighFrequencyHead, NetR
from .refinement_net import RefinementNet
from .window import WindowRestoration


class FMANetInferenceForm(WindowRestoration, nn.Module):
    """FMA-Net for restoring only; equal to the model it is made from but for rounding.

    Args:
        net_d (NetD): The model's; not changed.
        net_r (NetR): The model's; not changed.
        multiple (int): Features carry zero channels up to a multiple of it.

    Raises:
        NotImplementedError: If a part has no form with such features.
    """

    def __init__(self, net_d: NetD, net_r: NetR, multiple: int = 1) -> None:
        super().__init__()
        widths = Widths(multiple)
        self.num_frames, self.scale = net_d.num_frames, net_d.scale
        self.net_d, self.net_r = copy.deepcopy((net_d, net_r))
        _prepare_net_d(self.net_d, widths)
        _prepare_net_r(self.net_r, widths)
        self.embedding = ComposedKernelEmbedding(
            self.net_d.kernel_head, self.net_r.kernel_embedding
        )
        self.requires_grad_(False)

    def embed_kernel_feature(self, kernel_feature: Tensor, strips: Strips) -> Tensor:
        """See :meth:`WindowRestoration.embed_kernel_feature`."""
        return strips.map(self.embedding, kernel_feature, halo=self.embedding.halo)


class FlowMaskUpdateForm(nn.Module):
    """Of a :class:`FlowMaskUpdate`: a weight for each of its inputs.

    Args:
        update (FlowMaskUpdate): The update.
        widths (Widths): How wide features are carried.
    """

    def __init__(self, update: FlowMaskUpdate, widths: Widths) -> None:
        super().__init__()
        channels, weight = update.channels, update.conv_in.weight
        width, hidden = widths(channels), widths(weight.size(0))
        flow_inputs = weight.size(1) - 2 * channels
        weights = weight.split((channels, flow_inputs, channels), dim=1)
        centre, flow, feature = (spread(part, 0, hidden) for part in weights)
        self.conv_centre = Conv(spread(centre, 1, width))
        self.conv_flow = Conv(spread(flow, 1, hidden)) if flow_inputs else None
        self.conv_feature = Conv(spread(feature, 1, width))
        self.conv_out = widened(copy.deepcopy(update.conv_out), hidden, hidden)

    def forward(
        self, centre: Tensor, feature: Tensor, flow_masks: Tensor | None = None
    ) -> Tensor:
        """See :meth:`FlowMaskUpdate.forward`; pairs carry zero channels, too."""
        from_flow = None
        if flow_masks is not None:
            from_flow = per_frame(self.conv_flow, flow_masks)
        hidden = activated_sum(
            per_frame(self.conv_feature, channels_last(feature)),
            self.conv_centre(centre),
            from_flow,
            NEGATIVE_SLOPE,
        )
        return per_frame(self.conv_out, hidden)


class HighFrequencyHeadForm(nn.Module):
    """Of a :class:`HighFrequencyHead`: every feature is channels last in memory.

    The outputs of a convolution before a pixel shuffle are ordered by the pixel they
    become, so that shuffling moves all channels of a pixel at once.

    Args:
        head (HighFrequencyHead): The head; its convolutions are changed.
        width (int): Channels of the input, and of what goes through it.
    """

    def __init__(self, head: HighFrequencyHead, width: int) -> None:
        super().__init__()
        self.halo, self.factors = head.halo, head.factors
        self.conv_first = widened(head.conv_first, width, width)
        self.upsample_convs = nn.ModuleList(
            _ordered_by_pixel(conv, factor, width)
            for conv, factor in zip(head.upsample_convs, head.factors, strict=True)
        )
        self.conv_hr = widened(head.conv_hr, width, width)
        self.conv_last = widened(head.conv_last, width, 3)

    def forward(self, feature: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, 3, sH, sW)."""
        x = activate(self.conv_first(feature))
        for conv, factor in zip(self.upsample_convs, self.factors, strict=True):
            x = _shuffle_pixels(activate(conv(x)), factor)
        return self.conv_last(activate(self.conv_hr(x)))


def _ordered_by_pixel(conv: nn.Conv2d, factor: int, width: int) -> Conv:
    """Order outputs by row and column among s^2 pixels first, by channel last."""
    weight = conv.weight.unflatten(0, (-1, factor**2)).transpose(0, 1)
    weight = spread(spread(weight, 1, width), 2, width)
    return Conv(weight.flatten(0, 1))


def _shuffle_pixels(x: Tensor, factor: int) -> Tensor:
    """(N, s^2*C, H, W), ordered by pixel, -> (N, C, sH, sW)."""
    pixels = x.permute(0, 2, 3, 1).unflatten(3, (factor, factor, -1))
    rows = pixels.transpose(2, 3).flatten(3, 4)
    return rows.flatten(1, 2).permute(0, 3, 1, 2)


def _prepare_net_d(net: NetD, widths: Widths) -> None:
    width = widths(net.channels)
    _prepare_net(net, 3, range(3), widths)
    widen_pair(net.kernel_head, width // net.num_frames, width)


def _prepare_net_r(net: NetR, widths: Widths) -> None:
    width = widths(net.channels)
    _prepare_net(net, 3 + width, range(3 + net.channels), widths)
    embedding = net.kernel_embedding
    widened(embedding.conv_in, embedding.conv_in.in_channels, width)
    widened(embedding.conv_out, width, width)
    embedding.channels = width
    widen_pair(net.kernel_head, width // net.num_frames, width)
    net.high_frequency_head = HighFrequencyHeadForm(net.high_frequency_head, width)
    if isinstance(net.upsampling, FlowGuidedDynamicUpsampling):
        net.upsampling = DynamicUpsamplingForm(net.upsampling)
    _widen_flow_heads(net, widths)


def _widen_flow_heads(net: NetR, widths: Widths) -> None:
    """Widen what reads flow-mask pairs."""
    flow_channels = 3 * net.num_flows
    flow_width = widths(flow_channels)
    widen_pair(net.flow_embedding, flow_width, flow_width)
    widened(net.flow_embedding[-1], flow_width, flow_width)
    widened(net.first_flow_head[0], flow_width, flow_channels)
    images = range(flow_width, flow_width + 6)
    positions = [*range(flow_channels), *images]
    widened(net.second_flow_head[0], flow_width + 6, flow_channels, positions)


def _prepare_net(
    net: RefinementNet, in_width: int, in_positions: range, widths: Widths
) -> None:
    net.extractor = FeatureExtractorForm(net.extractor, in_width, in_positions, widths)
    for block in net.blocks:
        _prepare_block(block, net.channels, widths)


def _prepare_block(block: FRMABlock, channels: int, widths: Widths) -> None:
    for name in ('feature_rdb', 'warped_fusion', 'kernel_rdb', 'kernel_fusion'):
        if hasattr(block, name):
            setattr(block, name, inference_form(getattr(block, name), widths))
    block.alignment = inference_form(block.alignment, widths)
    block.flow_update = FlowMaskUpdateForm(block.flow_update, widths)
    for attention in block.attention_blocks:
        for guide, layer in attention.halves.items():
            attention.halves[guide] = inference_form(layer, widths)
