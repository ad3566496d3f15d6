"""NetD, the degradation learning network of clips."""

from typing import NamedTuple

import torch
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from ..common.fgdf import append_weight
from ..common.layers import build_part, conv_pair, per_frame
from .kernel_embedding import FactoredKernels
from .sequence_net import SequenceNet


class ClipDegradation(NamedTuple):
    """Degradation that NetD estimates for clips.

    Attributes:
        feature (Tensor): Features of the frames, (N, T, C, H, W).
        flow_masks (Tensor): Flow-mask pairs towards both neighbours, (N, T, 6n, H, W).
        kernel_feature (Tensor): Input of :meth:`SequenceNetD.kernels`,
            (N, T, C, H, W).
    """

    feature: Tensor
    flow_masks: Tensor
    kernel_feature: Tensor


@MODELS.register_module()
class SequenceNetD(SequenceNet):
    """Learns motion and degradation kernels of every frame (Section 3.3).

    Args:
        kernel_size (int): Degradation kernel size on the HR grid, k_d; scale plus
            an even number.
        mask_logit (float): Mask logit of all flow-mask pairs before the first block,
            where the flow is zero. The paper says full visibility; a sigmoid gets
            there with large logits only, where its gradient is small.
        downsampling (dict, optional): Degrades instead of
            :class:`FlowGuidedDynamicDownsampling`, such as
            ``dict(type='DynamicDownsampling')``.
        **refinement: Arguments of :class:`SequenceNet`, from ``channels`` on.

    Raises:
        ValueError: If the values do not fit each other.
    """

    def __init__(
        self,
        kernel_size: int = 20,
        mask_logit: float = 4.0,
        downsampling: dict | None = None,
        **refinement,
    ) -> None:
        super().__init__(3, **refinement)
        flow_channels = 6 * self.num_flows
        self.mask_logit = mask_logit
        self.kernel_head = conv_pair(
            self.channels, self.channels, 3 * kernel_size**2, carries=False
        )
        self.flow_head = conv_pair(flow_channels, flow_channels, 6)
        self.downsampling = build_part(
            downsampling or dict(type='FlowGuidedDynamicDownsampling'),
            kernel_size=kernel_size,
            scale=self.scale,
        )

    def initial_flow_masks(self, feature: Tensor) -> Tensor:
        """No motion and full visibility, (N, 6n, H, W), for (N, C, H, W)."""
        dtype = torch.promote_types(feature.dtype, torch.float32)
        size = (1, 2 * self.num_flows, 3, 1, 1)
        pairs = torch.zeros(size, device=feature.device, dtype=dtype)
        pairs[:, :, 2] = self.mask_logit
        return pairs.flatten(1, 2).expand(len(feature), -1, *feature.shape[-2:])

    def kernel_feature(self, feature: Tensor, strips: Strips = WHOLE_FRAMES) -> Tensor:
        """What the kernels are computed from, for the last feature, (N, C, H, W)."""
        return self.run_local(self.kernel_head[:-1], feature, halo=1, strips=strips)

    def factored_kernels(self, kernel_feature: Tensor) -> FactoredKernels:
        """The degradation kernels of :meth:`kernel_feature`, not computed yet."""
        return FactoredKernels(kernel_feature, self.kernel_head[-1].weight)

    def kernels(self, kernel_feature: Tensor) -> Tensor:
        """Compute the degradation kernels, the largest array of all.

        Args:
            kernel_feature (Tensor): Of a :class:`ClipDegradation`, (N, T, C, H, W).

        Returns:
            Tensor: Kernels before softmax, (N, T, 3, k_d^2, H, W): of the previous
            frame, the frame itself and the following one.
        """
        return per_frame(self.kernel_head[-1], kernel_feature).unflatten(2, (3, -1))

    def image_flow_mask(self, flow_masks: Tensor) -> Tensor:
        """The flow-mask pairs for images.

        Args:
            flow_masks (Tensor): (N, T, 6n, H, W).

        Returns:
            Tensor: Flow x, flow y (LR pixels) and mask logit, (N, T, 2, 3, H, W):
            from each frame to the previous and to the following one.
        """
        dtype = self.flow_head[0].weight.dtype
        pairs = per_frame(self.flow_head, flow_masks.to(dtype))
        return pairs.unflatten(2, (2, 3))

    def forward(
        self, frames: Tensor, exposure: Tensor | None, strips: Strips = WHOLE_FRAMES
    ) -> ClipDegradation:
        """Estimate the degradation of clips.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            exposure (Tensor, optional): Exposure vectors, (N, T, d_u).
            strips (Strips): How the frames are cut.

        Returns:
            ClipDegradation: Of every frame.
        """
        clips = frames.shape[:2]
        feature = self.extract(frames.flatten(0, 1), strips)
        feature, flow_masks = self.refine(
            feature,
            self.initial_flow_masks(feature),
            clips[1],
            None if exposure is None else exposure.flatten(0, 1),
            strips=strips,
        )
        parts = feature, flow_masks, self.kernel_feature(feature, strips)
        return ClipDegradation(*(part.unflatten(0, clips) for part in parts))

    def degrade(
        self, sharp: Tensor, image_flow_mask: Tensor, kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Apply the learned degradation to sharp HR frames (FGDF).

        A frame's neighbours are warped, the frame itself is not. Beyond an end of the
        clip, the frame itself is its neighbour.

        Args:
            sharp (Tensor): Sharp HR frames, (N, T, 3, sH, sW), [0, 1].
            image_flow_mask (Tensor): :meth:`image_flow_mask`.
            kernels (Tensor): :meth:`kernels`.

        Returns:
            tuple[Tensor]: Blurry LR frames, (N, T, 3, H, W), and the warped and masked
            neighbours of each frame, (N, T, 2, 3, sH, sW).
        """
        clips = sharp.shape[:2]
        blurry, warped = self.run_checkpointed(
            self._degrade, sharp, image_flow_mask, kernels
        )
        return blurry.unflatten(0, clips), warped.unflatten(0, clips)

    def _degrade(
        self, sharp: Tensor, image_flow_mask: Tensor, kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        previous = torch.cat((sharp[:, :1], sharp[:, :-1]), dim=1)
        following = torch.cat((sharp[:, 1:], sharp[:, -1:]), dim=1)
        neighbours = torch.stack((previous, following), dim=2).flatten(0, 1)
        warped = self.downsampling.warp(neighbours, image_flow_mask.flatten(0, 1))
        own = append_weight(sharp).flatten(0, 1).unsqueeze(1).to(warped.dtype)
        if self.downsampling.flow_guided:
            before, after = warped.split(1, dim=1)
        else:
            before, after = append_weight(neighbours).split(1, dim=1)
        source = torch.cat((before, own, after), dim=1)
        blurry = self.downsampling.filter(source, kernels.flatten(0, 1))
        return blurry, warped[:, :, :3]
