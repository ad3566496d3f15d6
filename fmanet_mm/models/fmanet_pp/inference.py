"""The inference form of FMA-Net++: its networks with weights prepared once."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..common.inference import (
    Conv,
    FeatureExtractorForm,
    Widths,
    inference_form,
    spread,
    widen_pair,
    widened,
)
from ..fmanet.inference import HighFrequencyHeadForm
from .exposure import ExposureExtractor, ExposureModulation
from .hrba import HRBABlock
from .kernel_embedding import (
    FactoredKernels,
    PointwiseKernelEmbedding,
    TapKernelEmbedding,
)
from .level_restoration import LevelRestoration
from .net_d import SequenceNetD
from .net_r import SequenceNetR
from .sequence_net import SequenceNet


class FMANetPPInferenceForm(LevelRestoration, nn.Module):
    """FMA-Net++ for restoring only; equal to its model but for rounding.

    Args:
        exposure_net (ExposureExtractor, optional): The model's; not changed.
        net_d (SequenceNetD): The model's; not changed.
        net_r (SequenceNetR): The model's; not changed.
        multiple (int): Features carry zero channels up to a multiple of it.

    Raises:
        NotImplementedError: If a part has no form with such features.
    """

    def __init__(
        self,
        exposure_net: ExposureExtractor | None,
        net_d: SequenceNetD,
        net_r: SequenceNetR,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        widths = Widths(multiple)
        self.exposure_net = copy.deepcopy(exposure_net)
        self.net_d, self.net_r = copy.deepcopy((net_d, net_r))
        if exposure_net is not None:
            _fuse_norms(self.exposure_net)
        head = self.net_d.kernel_head
        _prepare_net(self.net_d, 3, range(3), widths)
        channels, width = net_r.channels, widths(net_r.channels)
        for block in self.net_r.blocks:
            block.kernel_embedding = _prepare_embedding(
                block.kernel_embedding, head[-1].weight, widths
            )
        widen_pair(head, width, width)
        _prepare_net(self.net_r, 3 + width, range(3 + channels), widths)
        self.net_r.high_frequency_head = HighFrequencyHeadForm(
            self.net_r.high_frequency_head, width
        )
        self.requires_grad_(False)

    @property
    def scale(self) -> int:
        """Ratio of HR to LR size, s."""
        return self.net_d.scale


class ComposedKernelEmbedding(nn.Module):
    """Of a :class:`PointwiseKernelEmbedding`, composed with the kernels' convolution.

    Args:
        weight (Tensor): The composed weight, (C_out, C_in, 3, 3).

    Attributes:
        halo (int): Rows around its own that an output row depends on.
    """

    halo = PointwiseKernelEmbedding.halo

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.conv = Conv(weight)

    def forward(self, kernels: FactoredKernels) -> Tensor:
        """See :meth:`PointwiseKernelEmbedding.forward`; reads no kernel's weight."""
        return self.conv(kernels.feature)


def _prepare_embedding(embedding: nn.Module, head: Tensor, widths: Widths) -> nn.Module:
    """Prepare an embedding of the kernels that a convolution with this weight gives."""
    width = widths(head.size(1))
    if isinstance(embedding, PointwiseKernelEmbedding):
        composed = embedding.compose(head)
        return ComposedKernelEmbedding(spread(spread(composed, 1, width), 0, width))
    if isinstance(embedding, TapKernelEmbedding):
        widened(embedding.conv, embedding.conv.in_channels, width)
        positions = _side_by_side(3, embedding.fusion.out_channels, width)
        widened(embedding.fusion, 3 * width, width, positions)
        return embedding
    return inference_form(embedding, widths)


def _prepare_net(
    net: SequenceNet, in_width: int, in_positions: range, widths: Widths
) -> None:
    net.extractor = FeatureExtractorForm(net.extractor, in_width, in_positions, widths)
    for block in net.blocks:
        _prepare_block(block, net.channels, widths)


def _prepare_block(block: HRBABlock, channels: int, widths: Widths) -> None:
    width = widths(channels)
    block.alignment = inference_form(block.alignment, widths)
    neighbours = _side_by_side(3, channels, width)
    widened(block.neighbour_fusion, 3 * width, width, neighbours)
    if block.flow_update is not None:
        conv = block.flow_update[0]
        flows = conv.out_channels
        positions = [*range(channels), *range(width, width + flows)]
        widened(conv, width + flows, flows, positions)
    for attention in block.attention_blocks:
        for guide, layer in attention.halves.items():
            attention.halves[guide] = inference_form(layer, widths)
    if block.modulation is not None:
        _widen_modulation(block.modulation, channels, width)


def _widen_modulation(
    modulation: ExposureModulation, channels: int, width: int
) -> None:
    last = modulation.layers[-1]
    positions = _side_by_side(2, channels, width)
    for name in ('weight', 'bias'):
        wide = spread(getattr(last, name), 0, 2 * width, positions)
        setattr(last, name, nn.Parameter(wide))
    last.out_features = 2 * width


def _side_by_side(number: int, channels: int, width: int) -> list[int]:
    """Positions of several features, each carried wider."""
    return [i * width + c for i in range(number) for c in range(channels)]


@torch.no_grad()
def _fuse_norms(extractor: ExposureExtractor) -> None:
    """Make batch normalisation a part of the convolution before it.

    In half precision, its statistics would lose too much.
    """
    extractor.conv, extractor.norm = _fused(extractor.conv, extractor.norm)
    for stage in extractor.stages:
        for block in stage:
            block.conv1, block.norm1 = _fused(block.conv1, block.norm1)
            block.conv2, block.norm2 = _fused(block.conv2, block.norm2)
            if block.shortcut:
                block.shortcut = nn.Sequential(*_fused(*block.shortcut))


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[nn.Module, nn.Module]:
    return fuse_conv_bn_eval(conv, norm), nn.Identity()
