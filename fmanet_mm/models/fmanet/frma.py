"""Iterative feature refinement with multi-attention (FRMA), Fig. 3 of the paper."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import frame_rows
from ...ops.precision import at_least_float32
from ..common.layers import (
    FrameFusion,
    LeanModule,
    activate,
    build_part,
    channels_last,
    conv3x3,
    per_frame,
)
from ..common.multi_attention import MultiAttentionBlock
from ..common.rdb import ResidualDenseBlock


class FlowMaskUpdate(BaseModule):
    """Predicts a correction of the flow-mask pairs of every frame.

    Its first convolution reads the centre feature next to what belongs to each
    frame. The centre's part is convolved once, not once a frame.

    Args:
        channels (int): Channels of the centre feature, C.
        frame_channels (int): Channels that belong to each frame.
        out_channels (int): Hidden and output channels, 3n.
    """

    def __init__(self, channels: int, frame_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv_in = conv3x3(channels + frame_channels, out_channels)
        self.conv_out = conv3x3(out_channels, out_channels)

    def forward(self, centre: Tensor, frames: Tensor) -> Tensor:
        """Map centre (N, C, H, W), frames (N, T, C', H, W) to (N, T, 3n, H, W)."""
        for_centre, for_frames = self.conv_in.weight.tensor_split((self.channels,), 1)
        from_centre = F.conv2d(centre, for_centre, padding=1)
        from_frames = F.conv2d(frames.flatten(0, 1), for_frames, padding=1)
        hidden = at_least_float32(from_frames.unflatten(0, frames.shape[:2]))
        hidden += from_centre.unsqueeze(1)
        return per_frame(self.conv_out, activate(hidden).to(frames.dtype))


class FRMABlock(LeanModule):
    """Refines a frame's feature, then a window's flow-mask pairs and warped feature.

    :meth:`encode` needs a single frame and can be kept between windows;
    :meth:`refine` needs the window.

    Args:
        channels (int): C.
        num_frames (int): T.
        num_flows (int): Flow-mask pairs, n.
        num_attention_blocks (int): Multi-attention blocks.
        has_flow (bool): Whether flow-mask pairs come in (all but NetD's first).
        has_warped (bool): Whether a warped feature comes in (all but each net's
            first).
        rdb (dict): ``growth_channels`` and ``num_layers`` of the dense blocks.
        alignment (dict): Config of the alignment, see :mod:`.alignment`.
        attention (dict): Configs of the halves of the multi-attention blocks by their
            guides, see :class:`MultiAttentionBlock`.
    """

    def __init__(
        self,
        channels: int,
        num_frames: int,
        num_flows: int,
        num_attention_blocks: int,
        has_flow: bool,
        has_warped: bool,
        rdb: dict,
        alignment: dict,
        attention: dict[str, dict],
    ) -> None:
        super().__init__()
        flow_channels = 3 * num_flows
        self.feature_rdb = ResidualDenseBlock(channels, **rdb)
        self.flow_update = FlowMaskUpdate(
            channels, channels + (flow_channels if has_flow else 0), flow_channels
        )
        self.warped_fusion = FrameFusion(
            channels, num_frames, carry_channels=channels if has_warped else 0
        )
        self.degradation_aware = 'degradation' in attention
        if self.degradation_aware:
            self.kernel_rdb = ResidualDenseBlock(channels, **rdb)
            self.kernel_fusion = FrameFusion(channels, num_frames)
        self.alignment = build_part(alignment, channels=channels, num_flows=num_flows)
        self.attention_blocks = nn.ModuleList(
            MultiAttentionBlock(channels, attention)
            for _ in range(num_attention_blocks)
        )

    def encode(self, feature: Tensor) -> Tensor:
        """Refine the feature of single frames, (N, C, H, W)."""
        return self.feature_rdb(feature)

    def refine(
        self,
        feature: Tensor,
        centre: Tensor,
        flow_masks: Tensor | None,
        warped: Tensor | None,
        kernels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Refine what belongs to a window.

        Args:
            feature (Tensor): :meth:`encode` of the window's frames, (N, T, C, H, W).
            centre (Tensor): The centre frame's initial feature, (N, C, H, W).
            flow_masks (Tensor, optional): n flow-mask pairs a frame,
                (N, T, 3n, H, W).
            warped (Tensor, optional): The window's feature so far, (N, C, H, W).
            kernels (Tensor, optional): Embedded degradation kernels,
                (N, T, C, H, W).

        Returns:
            tuple[Tensor]: The new ``flow_masks`` and ``warped``.
        """
        prepared = self.alignment.prepare(feature.flatten(0, 1))
        rows = frame_rows(feature)
        warp = partial(self._warp_frames, prepared, feature.dtype)
        flow_masks = self._update_flow(feature, centre, flow_masks, warp, rows)
        warped = self._update_warped(flow_masks, warped, warp, rows)
        del prepared, warp
        guides = dict(centre=centre)
        if self.degradation_aware:
            guides['degradation'] = self.run_local(
                self._fuse_kernels, kernels, halo=len(self.kernel_rdb.layers)
            )
        for block in self.attention_blocks:
            warped = block(warped, **guides)
        return flow_masks, warped

    def _update_flow(
        self,
        feature: Tensor,
        centre: Tensor,
        flow_masks: Tensor | None,
        warp: Callable[[Tensor, Tensor], Tensor],
        rows: Tensor,
    ) -> Tensor:
        if flow_masks is None:
            return self.run_local(self.flow_update, centre, feature, halo=2)

        def update(flow_masks: Tensor, centre: Tensor, rows: Tensor) -> Tensor:
            frames = torch.cat((flow_masks, warp(flow_masks, rows)), dim=2)
            return flow_masks + self.flow_update(centre, channels_last(frames))

        return self.run_local(update, flow_masks, centre, rows, halo=2)

    def _update_warped(
        self,
        flow_masks: Tensor,
        warped: Tensor | None,
        warp: Callable[[Tensor, Tensor], Tensor],
        rows: Tensor,
    ) -> Tensor:
        def fuse(flow_masks: Tensor, rows: Tensor, *warped: Tensor) -> Tensor:
            return self.warped_fusion(channels_last(warp(flow_masks, rows)), *warped)

        carry = () if warped is None else (warped,)
        return self.run_local(fuse, flow_masks, rows, *carry, halo=0)

    def _fuse_kernels(self, kernels: Tensor) -> Tensor:
        return self.kernel_fusion(per_frame(self.kernel_rdb.compute, kernels))

    def _warp_frames(
        self, prepared: Tensor, dtype: torch.dtype, flow_masks: Tensor, rows: Tensor
    ) -> Tensor:
        """Warp all frames by their flow-mask pairs (N, T, 3n, H, W)."""
        warped = self.alignment(prepared, flow_masks.flatten(0, 1), rows)
        return warped.unflatten(0, flow_masks.shape[:2]).to(dtype)
