"""Flow-guided dynamic filtering (FGDF), Section 3.2 of the paper.

A dynamic filter reads fixed positions around a pixel; a flow-guided one reads
around where the flow points to, so that small kernels cover large motion.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import dynamic_filter, flow_warp
from ...ops.precision import raised_precision


@MODELS.register_module()
class FlowGuidedDynamicDownsampling(BaseModule):
    """Degrades sharp HR frames to the blurry LR centre frame (Eq. 2).

    Args:
        kernel_size (int): Degradation kernel size on the HR grid, k_d.
        scale (int): Ratio of HR to LR size, s. ``kernel_size - scale`` must be even
            and not negative, so that the kernels lie centred on the LR pixels.
        eps (float): Added to the normalising weight.

    Attributes:
        flow_guided (bool): Whether it reads the warped and masked frames.

    Raises:
        ValueError: If the kernel cannot be centred.
    """

    flow_guided = True

    def __init__(self, kernel_size: int, scale: int, eps: float = 1e-8) -> None:
        super().__init__()
        if kernel_size < scale or (kernel_size - scale) % 2:
            raise ValueError(
                'the degradation kernel size must be scale + an even number, '
                f'got kernel_size={kernel_size} and scale={scale}'
            )
        self.kernel_size = kernel_size
        self.scale = scale
        self.eps = eps

    def forward(
        self, frames: Tensor, flow_mask: Tensor, kernels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Warp, mask and filter; normalise by the weight that fell on the image.

        Args:
            frames (Tensor): Sharp HR frames, (N, T, 3, sH, sW), [0, 1].
            flow_mask (Tensor): Image flow (LR pixels) and mask logit,
                (N, T, 3, H, W).
            kernels (Tensor): Raw kernels, (N, T, k_d^2, H, W); softmax is taken
                jointly over the frames' taps.

        Returns:
            tuple[Tensor]: The blurry LR centre frame, (N, 3, H, W), and the warped
            and masked HR frames, (N, T, 3, sH, sW).
        """
        warped = self.warp(frames, flow_mask)
        source = warped if self.flow_guided else append_weight(frames)
        return self.filter(source, kernels), warped[:, :, :3]

    def warp(self, frames: Tensor, flow_mask: Tensor) -> Tensor:
        """Warp and mask HR frames by the flow on the LR grid.

        Args:
            frames (Tensor): See :meth:`forward`.
            flow_mask (Tensor): See :meth:`forward`.

        Returns:
            Tensor: Frames and the weight of each pixel, (N, T, 3 + 1, sH, sW).
        """
        with raised_precision(frames, flow_mask) as (frames, flow_mask):
            flow, mask = self._upsample(flow_mask.flatten(0, 1))
            warped = flow_warp(append_weight(frames).flatten(0, 1), flow) * mask
            return warped.unflatten(0, frames.shape[:2])

    def filter(self, source: Tensor, kernels: Tensor) -> Tensor:
        """Filter frames, and normalise by the weight that fell on the image.

        Args:
            source (Tensor): From :meth:`warp` or :func:`append_weight`.
            kernels (Tensor): See :meth:`forward`.

        Returns:
            Tensor: The blurry LR centre frame, (N, 3, H, W).
        """
        with raised_precision(source, kernels) as (source, kernels):
            margin = (self.kernel_size - self.scale) // 2
            padded = F.pad(source.flatten(0, 1), (margin,) * 4, mode='replicate')
            weights = kernels.flatten(1, 2).softmax(dim=1).view_as(kernels)
            filtered = dynamic_filter(
                padded.unflatten(0, source.shape[:2]),
                weights.unsqueeze(2),
                self.kernel_size,
                stride=self.scale,
            ).squeeze(2)
            image, weight = filtered.split((3, 1), dim=1)
            return image / (weight + self.eps)

    def _upsample(self, flow_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Flow in HR pixels and mask in [0, 1] on the HR grid."""
        flow, mask = flow_mask.split((2, 1), dim=1)
        both = torch.cat((flow * self.scale, mask.sigmoid()), dim=1)
        return F.interpolate(
            both, scale_factor=self.scale, mode='bilinear', align_corners=False
        ).split((2, 1), dim=1)


def append_weight(frames: Tensor) -> Tensor:
    """Give every pixel of (N, T, 3, H, W) the weight 1 as a fourth channel."""
    return torch.cat((frames, torch.ones_like(frames[:, :, :1])), dim=2)


@MODELS.register_module()
class DynamicDownsampling(FlowGuidedDynamicDownsampling):
    """Conventional dynamic filtering (Eq. 1): reads the frames where they are.

    The warped frames are returned all the same, for their loss.
    """

    flow_guided = False


@MODELS.register_module()
class FlowGuidedDynamicUpsampling(BaseModule):
    """Filters the LR frames to the sharp HR centre frame (Eq. 4).

    Every LR pixel has s^2 kernels, one for each HR pixel it becomes.

    Args:
        kernel_size (int): Restoration kernel size on the LR grid, k_r; odd.
        scale (int): Ratio of HR to LR size, s.

    Attributes:
        flow_guided (bool): Whether it wants the warped and masked frames.

    Raises:
        ValueError: If the kernel size is even.
    """

    flow_guided = True

    def __init__(self, kernel_size: int, scale: int) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(
                f'the restoration kernel size must be odd, got {kernel_size}'
            )
        self.kernel_size = kernel_size
        self.scale = scale

    def forward(self, warped: Tensor, kernels: Tensor) -> Tensor:
        """Filter warped frames.

        Args:
            warped (Tensor): LR frames, warped and masked if it is flow-guided,
                (N, T, 3, H, W).
            kernels (Tensor): Raw kernels, (N, T, s^2 k_r^2, H, W), in the order
                (s_y, s_x, k_y, k_x); each is shifted to sum to 1 over the frames'
                taps.

        Returns:
            Tensor: (N, 3, sH, sW), without the high-frequency image.
        """
        with raised_precision(warped, kernels) as (warped, kernels):
            margin = self.kernel_size // 2
            padded = F.pad(warped.flatten(0, 1), (margin,) * 4, mode='replicate')
            with_ones = torch.cat((padded, torch.ones_like(padded[:, :1])), dim=1)
            filtered = dynamic_filter(
                with_ones.unflatten(0, warped.shape[:2]),
                kernels.unflatten(2, (self.scale**2, -1)),
                self.kernel_size,
            )
            image, total = filtered.split((3, 1), dim=1)
            # Adding a constant to all taps, so that they sum to 1, adds
            # (1 - sum) * mean of the patch.
            mean = F.avg_pool2d(padded, self.kernel_size, stride=1)
            mean = mean.unflatten(0, warped.shape[:2]).mean(dim=1).unsqueeze(2)
            shifted = image + (1 - total) * mean
            return F.pixel_shuffle(shifted.flatten(1, 2), self.scale)


@MODELS.register_module()
class DynamicUpsampling(FlowGuidedDynamicUpsampling):
    """Conventional dynamic filtering: reads the frames where they are."""

    flow_guided = False
