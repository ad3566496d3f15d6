"""Iterative feature refinement with multi-attention (FRMA), Fig. 3 of the paper."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...ops import WHOLE_FRAMES, Strips, frame_rows
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
from ..common.wide_convs import WideConv2d, narrow, widen


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
        self.conv_out = WideConv2d(out_channels, out_channels, 3, widens=False)

    def forward(
        self, centre: Tensor, feature: Tensor, flow_masks: Tensor | None = None
    ) -> Tensor:
        """Predict the correction.

        Args:
            centre (Tensor): The centre frame's initial feature, (N, C, H, W).
            feature (Tensor): Features of the frames, (N, T, C, H, W).
            flow_masks (Tensor, optional): (N, T, 3n, H, W).

        Returns:
            Tensor: (N, T, 3n, H, W).
        """
        frames = feature
        if flow_masks is not None:
            frames = channels_last(torch.cat((flow_masks, feature), dim=2))
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
        alignment (dict): Config of the alignment, see
            :mod:`~fmanet_mm.models.common.alignment`.
        attention (dict): Configs of the layers of the multi-attention blocks by their
            guides, see :class:`MultiAttentionBlock`.
        with_cp (bool): Whether to checkpoint in training.
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
        with_cp: bool = False,
    ) -> None:
        super().__init__(with_cp)
        flow_channels = 3 * num_flows
        self.feature_rdb = ResidualDenseBlock(channels, **rdb, with_cp=with_cp)
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
            MultiAttentionBlock(channels, attention, with_cp)
            for _ in range(num_attention_blocks)
        )

    def encode(self, feature: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """Refine the feature of single frames, (N, C, H, W)."""
        return self.feature_rdb(feature, strips)

    def refine(
        self,
        feature: Tensor,
        centre: Tensor,
        flow_masks: Tensor | None,
        warped: Tensor | None,
        kernels: Tensor | None = None,
        strips: Strips = WHOLE_FRAMES,
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
            strips (Strips): How the frames are cut.

        Returns:
            tuple[Tensor]: The new ``flow_masks`` and ``warped``.
        """
        frames = _AlignedFrames(self.alignment, feature)
        flow_masks = self._update_flow(feature, frames, centre, flow_masks, strips)
        warped = self._update_warped(frames, flow_masks, warped, strips)
        del frames  # frees the largest arrays before the attention begins
        guides = dict(centre=centre)
        if self.degradation_aware:
            guides['degradation'] = self.run_local(
                self._fuse_kernels, kernels, halo=self.kernel_rdb.halo, strips=strips
            )
        width = self._attention_width(warped)
        feature = widen(warped, width)
        guides = {name: widen(guide, width) for name, guide in guides.items()}
        for block in self.attention_blocks:
            feature = block(feature, strips, **guides)
        return flow_masks, narrow(feature, warped.size(1))

    def _attention_width(self, warped: Tensor) -> int:
        """Channels with which the attention is trained, and zero channels."""
        if not torch.is_grad_enabled():
            return warped.size(1)
        widths = (block.width for block in self.attention_blocks)
        return max(min(widths, default=0), warped.size(1))

    def _update_flow(
        self,
        feature: Tensor,
        frames: '_AlignedFrames',
        centre: Tensor,
        flow_masks: Tensor | None,
        strips: Strips,
    ) -> Tensor:
        """Correct the flow-mask pairs by how well they align the frames."""

        def correct(flow_masks: Tensor, centre: Tensor, rows: Tensor) -> Tensor:
            aligned = frames.align(flow_masks, rows)
            return flow_masks + self.flow_update(centre, aligned, flow_masks)

        if flow_masks is None:
            return self.run_local(
                self.flow_update, centre, feature, halo=2, strips=strips
            )
        return self.run_local(
            correct, flow_masks, centre, frames.rows, halo=2, strips=strips
        )

    def _update_warped(
        self,
        frames: '_AlignedFrames',
        flow_masks: Tensor,
        warped: Tensor | None,
        strips: Strips,
    ) -> Tensor:
        """Fuse the aligned frames and the window's feature so far."""

        def fuse(flow_masks: Tensor, rows: Tensor, *warped: Tensor) -> Tensor:
            aligned = frames.align(flow_masks, rows)
            return self.warped_fusion(channels_last(aligned), *warped)

        carry = () if warped is None else (warped,)
        return self.run_local(
            fuse, flow_masks, frames.rows, *carry, halo=0, strips=strips
        )

    def _fuse_kernels(self, kernels: Tensor) -> Tensor:
        return self.kernel_fusion(per_frame(self.kernel_rdb, kernels))


class _AlignedFrames:
    """Aligns the features of a window, (N, T, C, H, W), to its centre frame.

    It does not keep the features themselves: checkpointed functions keep it until the
    gradient is computed.
    """

    def __init__(self, alignment: nn.Module, feature: Tensor) -> None:
        self._dtype = feature.dtype
        self.rows = frame_rows(feature)
        self._alignment = alignment
        self._prepared = alignment.prepare(feature.flatten(0, 1))

    def align(self, flow_masks: Tensor, rows: Tensor) -> Tensor:
        """Align some rows by their flow-mask pairs, (N, T, 3n, h, W)."""
        aligned = self._alignment(self._prepared, flow_masks.flatten(0, 1), rows)
        return aligned.unflatten(0, flow_masks.shape[:2]).to(self._dtype)
