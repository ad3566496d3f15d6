"""NetR, the restoration network of clips."""

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from ..common.layers import conv_pair
from ..fmanet.net_r import HighFrequencyHead
from .kernel_embedding import FactoredKernels
from .net_d import ClipDegradation
from .sequence_net import SequenceNet

_HEAD_ROWS = 64
"""LR rows of which high-resolution features are held at a time."""


@MODELS.register_module()
class SequenceNetR(SequenceNet):
    """Restores every frame, guided by the learned degradation (Section 3.4).

    Args:
        degradation_kernel_size (int): NetD's kernel size, k_d.
        flow_adapter (bool): Whether two convolutions adapt NetD's flow-mask pairs.
        degradation_attention (dict, optional): Refines instead of attention guided by
            the degradation, such as ``dict(type='GuidedModulation')``.
        kernel_embedding (dict, optional): Embeds degradation kernels in each block
            instead of :class:`PointwiseKernelEmbedding`.
        channels (int): See :class:`SequenceNet`.
        num_rdbs (int): See :class:`SequenceNet`; one more than NetD has, for the
            frame's feature comes on top.
        **refinement: Arguments of :class:`SequenceNet`, from ``scale`` on.

    Raises:
        ValueError: If the values do not fit each other.
    """

    def __init__(
        self,
        degradation_kernel_size: int = 20,
        flow_adapter: bool = True,
        degradation_attention: dict | None = None,
        kernel_embedding: dict | None = None,
        *,
        channels: int = 90,
        num_rdbs: int = 6,
        **refinement,
    ) -> None:
        super().__init__(
            3 + channels,
            channels=channels,
            num_rdbs=num_rdbs,
            degradation_attention=degradation_attention or dict(type='GuidedAttention'),
            kernel_embedding=dict(
                kernel_size=degradation_kernel_size,
                **(kernel_embedding or dict(type='PointwiseKernelEmbedding')),
            ),
            flow_is_read=False,
            **refinement,
        )
        self.degradation_kernel_size = degradation_kernel_size
        flow_channels = 6 * self.num_flows
        self.flow_adapter = None
        if flow_adapter:
            self.flow_adapter = conv_pair(flow_channels, flow_channels, flow_channels)
        self.high_frequency_head = HighFrequencyHead(channels, self.scale)

    def start(
        self,
        frames: Tensor,
        feature: Tensor,
        flow_masks: Tensor,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, Tensor]:
        """Compute what the first block reads.

        Args:
            frames (Tensor): Blurry LR frames, (N, 3, H, W), [0, 1].
            feature (Tensor): NetD's last feature of them, (N, C, H, W).
            flow_masks (Tensor): NetD's flow-mask pairs, (N, 6n, H, W).
            strips (Strips): How the frames are cut.

        Returns:
            tuple[Tensor]: ``feature`` and ``flow_masks``.
        """
        inputs = torch.cat((frames.to(feature.dtype), feature), dim=1)
        return self.extract(inputs, strips), self._adapt(flow_masks, strips)

    def make_image(
        self, feature: Tensor, frames: Tensor, strips: Strips = WHOLE_FRAMES
    ) -> Tensor:
        """Add a residual to the frames upsampled bilinearly.

        Args:
            feature (Tensor): Of the last block, (N, C, H, W).
            frames (Tensor): Blurry LR frames, (N, 3, H, W), [0, 1].
            strips (Strips): How the frames are cut.

        Returns:
            Tensor: Sharp HR frames, (N, 3, sH, sW), about [0, 1].
        """
        return self.run_local(
            self._add_residual,
            feature,
            frames,
            halo=self.high_frequency_head.halo,
            strips=strips,
            scale=self.scale,
            max_rows=_HEAD_ROWS,
        )

    def forward(
        self,
        frames: Tensor,
        degradation: ClipDegradation,
        kernels: FactoredKernels,
        exposure: Tensor | None,
        strips: Strips = WHOLE_FRAMES,
    ) -> Tensor:
        """Restore clips.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            degradation (ClipDegradation): NetD's estimate for them.
            kernels (FactoredKernels): Of the N*T frames.
            exposure (Tensor, optional): Exposure vectors, (N, T, d_u).
            strips (Strips): How the frames are cut.

        Returns:
            Tensor: Sharp HR frames, (N, T, 3, sH, sW), about [0, 1].
        """
        images = frames.flatten(0, 1)
        feature, flow_masks = self.start(
            images,
            degradation.feature.flatten(0, 1),
            degradation.flow_masks.flatten(0, 1),
            strips,
        )
        feature, _ = self.refine(
            feature,
            flow_masks,
            frames.size(1),
            None if exposure is None else exposure.flatten(0, 1),
            kernels,
            strips,
        )
        return self.make_image(feature, images, strips).unflatten(0, frames.shape[:2])

    def _adapt(self, flow_masks: Tensor, strips: Strips) -> Tensor:
        if self.flow_adapter is None:
            return flow_masks
        dtype = self.flow_adapter[0].weight.dtype
        adapted = self.run_local(
            self.flow_adapter, flow_masks.to(dtype), halo=2, strips=strips
        )
        return adapted.to(flow_masks.dtype)

    def _add_residual(self, feature: Tensor, frames: Tensor) -> Tensor:
        upsampled = F.interpolate(
            frames, scale_factor=self.scale, mode='bilinear', align_corners=False
        )
        return upsampled + self.high_frequency_head(feature)
