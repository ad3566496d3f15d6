"""The inference form of FMA-Net: NetD and NetR with weights prepared once."""

import copy

from torch import Tensor, nn

from ...ops import Strips
from ...ops.precision import at_least_float32
from ..common.inference import (
    Conv,
    Widths,
    inference_form,
    spread,
    widen_pair,
    widened,
)
from ..common.layers import activate, channels_last, per_frame
from ..common.rdb import FeatureExtractor
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
        self.flow_channels = weight.size(0)
        width, hidden = widths(channels), widths(self.flow_channels)
        flow_inputs = weight.size(1) - 2 * channels
        weights = weight.split((channels, flow_inputs, channels), dim=1)
        centre, flow, feature = (spread(part, 0, hidden) for part in weights)
        self.conv_centre = Conv(spread(centre, 1, width))
        self.conv_flow = Conv(flow) if flow_inputs else None
        self.conv_feature = Conv(spread(feature, 1, width))
        self.conv_out = widened(copy.deepcopy(update.conv_out), hidden, hidden)

    def forward(
        self, centre: Tensor, feature: Tensor, flow_masks: Tensor | None = None
    ) -> Tensor:
        """See :meth:`FlowMaskUpdate.forward`."""
        hidden = per_frame(self.conv_feature, channels_last(feature))
        hidden = at_least_float32(hidden)
        hidden += self.conv_centre(centre).unsqueeze(1)
        if flow_masks is not None:
            hidden += per_frame(self.conv_flow, flow_masks)
        hidden = activate(hidden).to(feature.dtype)
        return per_frame(self.conv_out, hidden)[:, :, : self.flow_channels]


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
    prepare_head(net.high_frequency_head, width)


def prepare_head(head: HighFrequencyHead, width: int) -> None:
    """Widen what goes through the head that predicts the high-frequency image."""
    widened(head.conv_first, width, width)
    for conv, factor in zip(head.upsample_convs, head.factors, strict=True):
        widened(conv, width, width * factor**2)
    widened(head.conv_hr, width, width)
    widened(head.conv_last, width, 3)


def _prepare_net(
    net: RefinementNet, in_width: int, in_positions: range, widths: Widths
) -> None:
    prepare_extractor(net.extractor, in_width, in_positions, widths)
    for block in net.blocks:
        _prepare_block(block, net.channels, widths)


def prepare_extractor(
    extractor: FeatureExtractor, in_width: int, in_positions: range, widths: Widths
) -> None:
    """Prepare a feature extractor, whose channels are carried wider."""
    channels, blocks = extractor.conv_last.in_channels, extractor.blocks
    width = widths(channels)
    widened(extractor.conv_first, in_width, width, in_positions)
    of_blocks = [i * width + c for i in range(len(blocks)) for c in range(channels)]
    widened(extractor.fusion, len(blocks) * width, width, of_blocks)
    widened(extractor.conv_last, width, width)
    for i, block in enumerate(blocks):
        blocks[i] = inference_form(block, widths)


def _prepare_block(block: FRMABlock, channels: int, widths: Widths) -> None:
    for name in ('feature_rdb', 'warped_fusion', 'kernel_rdb', 'kernel_fusion'):
        if hasattr(block, name):
            setattr(block, name, inference_form(getattr(block, name), widths))
    block.alignment = inference_form(block.alignment, widths)
    block.flow_update = FlowMaskUpdateForm(block.flow_update, widths)
    for attention in block.attention_blocks:
        for guide, layer in attention.halves.items():
            attention.halves[guide] = inference_form(layer, widths)
