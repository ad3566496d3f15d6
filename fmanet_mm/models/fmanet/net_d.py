"""NetD, the degradation learning network."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mmengine.registry import MODELS
from torch import Tensor

from ...ops import WHOLE_FRAMES, Strips
from ..common.layers import build_part, conv_pair, per_frame
from .refinement_net import RefinementNet, split_windows


class Degradation(NamedTuple):
    """Degradation that NetD estimates for a window.

    Attributes:
        feature (Tensor): Last per-frame features, (N, T, C, H, W).
        flow_masks (Tensor): Flow-mask pairs, (N, T, 3n, H, W).
        kernel_feature (Tensor): Input of :meth:`NetD.kernels`, (N, T, C/T, H, W).
    """

    feature: Tensor
    flow_masks: Tensor
    kernel_feature: Tensor


@MODELS.register_module()
class NetD(RefinementNet):
    """Learns motion and spatio-temporally variant degradation kernels (Section 3.4).

    Args:
        kernel_size (int): Degradation kernel size on the HR grid, k_d; scale plus
            an even number.
        downsampling (dict, optional): Degrades instead of
            :class:`FlowGuidedDynamicDownsampling`, such as
            ``dict(type='DynamicDownsampling')``.
        **refinement: Arguments of :class:`RefinementNet`, from ``channels`` to
            ``num_dense_layers``, and ``init_cfg``.

    Raises:
        ValueError: If the values do not fit each other.
    """

    def __init__(
        self, kernel_size: int = 20, downsampling: dict | None = None, **refinement
    ) -> None:
        super().__init__(3, is_first=True, degradation_attention=None, **refinement)
        flow_channels = 3 * self.num_flows
        self.kernel_head = conv_pair(
            self.channels // self.num_frames, self.channels, kernel_size**2
        )
        self.flow_head = conv_pair(flow_channels, flow_channels, 3)
        self.downsampling = build_part(
            downsampling or dict(type='FlowGuidedDynamicDownsampling'),
            kernel_size=kernel_size,
            scale=self.scale,
        )

    def encode(self, frames: Tensor, strips: Strips = WHOLE_FRAMES) -> Iterator[Tensor]:
        """Compute the features of single frames, level by level.

        Args:
            frames (Tensor): Blurry LR frames, (N, 3, H, W), [0, 1].
            strips (Strips): How the frames are cut.

        Returns:
            Iterator[Tensor]: (N, C, H, W), M + 1 times: the initial feature, and one
            for each FRMA block.
        """
        return self._encode_levels(frames, strips)

    def refine(
        self, features: Iterable[Tensor], strips: Strips = WHOLE_FRAMES
    ) -> Degradation:
        """Estimate a window's degradation from its frames' features.

        Args:
            features (Iterable[Tensor]): For each level of :meth:`encode` the
                window's features, (N, T, C, H, W).
            strips (Strips): How the frames are cut.

        Returns:
            Degradation: Of the window's centre frame.
        """
        flow_masks, warped, feature = self._refine_blocks(
            features, flow_masks=None, strips=strips
        )
        return Degradation(feature, flow_masks, self._fold_frames(warped))

    def kernels(self, kernel_feature: Tensor) -> Tensor:
        """Compute the degradation kernels, the largest array of all.

        Args:
            kernel_feature (Tensor): Of a :class:`Degradation`, (N, T, C/T, H, W).

        Returns:
            Tensor: Kernels before softmax, (N, T, k_d^2, H, W).
        """
        return per_frame(self.kernel_head, kernel_feature)

    def image_flow_mask(self, flow_masks: Tensor) -> Tensor:
        """The flow-mask pair for images.

        Args:
            flow_masks (Tensor): (N, T, 3n, H, W).

        Returns:
            Tensor: Flow x, flow y (LR pixels, centre to frame) and mask logit,
            (N, T, 3, H, W).
        """
        return per_frame(self.flow_head, flow_masks)

    def forward(self, frames: Tensor, strips: Strips = WHOLE_FRAMES) -> Degradation:
        """Estimate the degradation of a window.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].
            strips (Strips): How the frames are cut.

        Returns:
            Degradation: Of the window's centre frame.
        """
        features = self.encode(frames.flatten(0, 1), strips)
        return self.refine(split_windows(features, self.num_frames), strips)

    def degrade(
        self, sharp: Tensor, image_flow_mask: Tensor, kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Apply the learned degradation to sharp HR frames.

        Args:
            sharp (Tensor): Sharp HR frames, (N, T, 3, sH, sW), [0, 1].
            image_flow_mask (Tensor): :meth:`image_flow_mask`.
            kernels (Tensor): :meth:`kernels`.

        Returns:
            tuple[Tensor]: Blurry LR centre frame, (N, 3, H, W), and the warped and
            masked HR frames, (N, T, 3, sH, sW).
        """
        return self.downsampling(sharp, image_flow_mask, kernels)
