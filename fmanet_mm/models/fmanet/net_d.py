"""NetD, the degradation learning network."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from mmengine.registry import MODELS
from torch import Tensor

from ..common.layers import build_part, conv_pair, per_frame
from .refinement_net import RefinementNet, split_window


@dataclass(frozen=True, eq=False)
class Degradation:
    """What NetD learns of a window.

    Attributes:
        feature (Tensor): Last per-frame features, (N, T, C, H, W).
        flow_masks (Tensor): Flow-mask pairs, (N, T, 3n, H, W).
        kernel_feature (Tensor): What the kernels are made of, (N, T, C/T, H, W).
        kernel_head (Callable): Makes kernels of it, frame by frame.
    """

    feature: Tensor
    flow_masks: Tensor
    kernel_feature: Tensor
    kernel_head: Callable[[Tensor], Tensor]

    @cached_property
    def kernels(self) -> Tensor:
        """Degradation kernels before softmax, (N, T, k_d^2, H, W).

        They are the largest array of all, so they are made when asked for.
        """
        return per_frame(self.kernel_head, self.kernel_feature)


@MODELS.register_module()
class NetD(RefinementNet):
    """Learns motion and spatio-temporally variant degradation kernels (Section 3.4).

    Args:
        kernel_size (int): Degradation kernel size on the HR grid, k_d; scale plus
            an even number.
        downsampling (dict, optional): What to degrade with instead of
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

    def refine(self, features: Iterable[Tensor]) -> Degradation:
        """Learn a window's degradation from its frames' features.

        Args:
            features (Iterable[Tensor]): For each level of :meth:`encode` the
                window's features, (N, T, C, H, W).

        Returns:
            Degradation: Of the window's centre frame.
        """
        flow_masks, warped, feature = self._refine_blocks(features, flow_masks=None)
        return Degradation(
            feature, flow_masks, self._fold_frames(warped), self.kernel_head
        )

    def image_flow_mask(self, flow_masks: Tensor) -> Tensor:
        """The flow-mask pair for images.

        Args:
            flow_masks (Tensor): (N, T, 3n, H, W).

        Returns:
            Tensor: Flow x, flow y (LR pixels, centre to frame) and mask logit,
            (N, T, 3, H, W).
        """
        return per_frame(self.flow_head, flow_masks)

    def forward(self, frames: Tensor) -> Degradation:
        """Learn the degradation of a window.

        Args:
            frames (Tensor): Blurry LR frames, (N, T, 3, H, W), [0, 1].

        Returns:
            Degradation: Of the window's centre frame.
        """
        features = self._encode_levels(frames.flatten(0, 1))
        return self.refine(split_window(features, self.num_frames))

    def degrade(
        self, sharp: Tensor, image_flow_mask: Tensor, kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Apply the learned degradation to sharp HR frames.

        Args:
            sharp (Tensor): Sharp HR frames, (N, T, 3, sH, sW), [0, 1].
            image_flow_mask (Tensor): :meth:`image_flow_mask`.
            kernels (Tensor): Kernels of :class:`Degradation`.

        Returns:
            tuple[Tensor]: Blurry LR centre frame, (N, 3, H, W), and the warped and
            masked HR frames, (N, T, 3, sH, sW).
        """
        return self.downsampling(sharp, image_flow_mask, kernels)
