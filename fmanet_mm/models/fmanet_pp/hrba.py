"""Hierarchical refinement with bidirectional aggregation (HRBA), Fig. 4."""

import torch
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips, frame_rows
from ...ops.precision import at_least_float32
from ..common.layers import LeanModule, build_part, channels_last, conv_pair
from ..common.multi_attention import MultiAttentionBlock
from .exposure import ExposureModulation
from .kernel_embedding import FactoredKernels


class HRBABlock(LeanModule):
    """One level: refines frames by their neighbours' features of the level before.

    No frame waits for another of its own level, so the frames of a clip can be one
    batch. With the feature F of a frame and its flow-mask pairs f towards both
    neighbours,

        fused = conv(F, warp of the previous F, warp of the following F)
        f = f + convs(fused, f)
        F = modulate(attend(fused, kernels), exposure)

    Args:
        channels (int): C.
        num_flows (int): Flow-mask pairs towards each neighbour, n.
        num_attention_blocks (int): Multi-attention blocks.
        fusion_kernel_size (int): Of the convolution that fuses the neighbours; odd.
        alignment (dict): Config of the alignment, see
            :mod:`~fmanet_mm.models.common.alignment`.
        attention (dict): Configs of the layers of the multi-attention blocks:
            ``frame`` and, if degradation-aware, ``degradation``.
        modulation (dict, optional): Lengths for :class:`ExposureModulation`; None: no
            modulation.
        kernel_embedding (dict, optional): Config of the embedding of degradation
            kernels, if degradation-aware.
        updates_flow (bool): Whether any later block reads the flow-mask pairs.
        with_cp (bool): Whether to checkpoint in training.
    """

    def __init__(
        self,
        channels: int,
        num_flows: int,
        num_attention_blocks: int,
        fusion_kernel_size: int,
        alignment: dict,
        attention: dict[str, dict],
        modulation: dict | None = None,
        kernel_embedding: dict | None = None,
        updates_flow: bool = True,
        with_cp: bool = False,
    ) -> None:
        super().__init__(with_cp)
        flow_channels = 6 * num_flows
        self.alignment = build_part(alignment, channels=channels, num_flows=num_flows)
        self.neighbour_fusion = nn.Conv2d(
            3 * channels,
            channels,
            fusion_kernel_size,
            padding=fusion_kernel_size // 2,
            bias=False,
        )
        self.flow_update = None
        if updates_flow:
            self.flow_update = conv_pair(
                channels + flow_channels, flow_channels, flow_channels
            )
        self.kernel_embedding = None
        if kernel_embedding is not None:
            self.kernel_embedding = build_part(kernel_embedding, channels=channels)
        self.attention_blocks = nn.ModuleList(
            MultiAttentionBlock(channels, attention, with_cp)
            for _ in range(num_attention_blocks)
        )
        self.modulation = None
        if modulation is not None:
            self.modulation = ExposureModulation(**modulation, channels=channels)

    def forward(
        self,
        feature: Tensor,
        flow_masks: Tensor,
        neighbours: tuple[Tensor, Tensor],
        exposure: Tensor | None = None,
        kernels: FactoredKernels | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, Tensor]:
        """Refine frames.

        Args:
            feature (Tensor): Of each frame, (N, C, H, W).
            flow_masks (Tensor): n flow-mask pairs towards the previous frame, and n
                towards the following one, (N, 6n, H, W), at least float32.
            neighbours (tuple[Tensor]): Features of the previous and of the following
                frame of each, (N, C, H, W).
            exposure (Tensor, optional): Exposure vectors, (N, d_u).
            kernels (FactoredKernels, optional): Degradation kernels.
            strips (Strips): How the frames are cut.

        Returns:
            tuple[Tensor]: The new ``feature`` and ``flow_masks``.
        """
        feature = self._fuse(feature, flow_masks, neighbours, strips)
        if self.flow_update is not None:
            flow_masks = self.run_local(
                self._update_flow, feature, flow_masks, halo=2, strips=strips
            )
        guides = dict(frame=None)
        if self.kernel_embedding is not None:
            guides['degradation'] = self._embed_kernels(kernels, strips)
        for block in self.attention_blocks:
            feature = block(feature, strips, **guides)
        if self.modulation is not None:
            feature = self.modulation(feature, exposure)
        return feature, flow_masks

    def _fuse(
        self,
        feature: Tensor,
        flow_masks: Tensor,
        neighbours: tuple[Tensor, Tensor],
        strips: Strips,
    ) -> Tensor:
        """Warp both neighbours to the frame, and fuse the three."""
        prepared = [self.alignment.prepare(neighbour) for neighbour in neighbours]

        def fuse(feature: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
            pairs = flow_masks.chunk(2, dim=1)
            aligned = (
                self.alignment(*inputs, rows).to(feature.dtype)
                for inputs in zip(prepared, pairs, strict=True)
            )
            stacked = torch.cat((feature, *aligned), dim=1)
            return self.neighbour_fusion(channels_last(stacked))

        return self.run_local(
            fuse,
            feature,
            flow_masks,
            frame_rows(feature),
            halo=self.neighbour_fusion.padding[0],
            strips=strips,
        )

    def _update_flow(self, fused: Tensor, flow_masks: Tensor) -> Tensor:
        inputs = torch.cat((fused, flow_masks.to(fused.dtype)), dim=1)
        update = self.flow_update(channels_last(inputs))
        return flow_masks + at_least_float32(update)

    def _embed_kernels(self, kernels: FactoredKernels, strips: Strips) -> Tensor:
        def embed(feature: Tensor) -> Tensor:
            return self.kernel_embedding(kernels._replace(feature=feature))

        return self.run_local(
            embed, kernels.feature, halo=self.kernel_embedding.halo, strips=strips
        )
