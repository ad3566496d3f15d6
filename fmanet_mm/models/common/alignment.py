"""Ways to align the features of all frames to the centre frame (Section 3.3).

All read the same flow-mask pairs. Features of whole frames are prepared once; then any
rows of them can be aligned, so that large frames can be computed on strips.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ...ops import masked_warp, split_groups, trained, warp_groups
from ...ops.precision import raised_precision
from .wide_convs import WideConv2d


@MODELS.register_module()
class MultiFlowWarp(BaseModule):
    """Warps n groups of channels, each by a flow-mask pair of its own.

    Args:
        channels (int): C, a multiple of n.
        num_flows (int): Flow-mask pairs, n.
    """

    def __init__(self, channels: int, num_flows: int) -> None:
        super().__init__()
        self.channels = channels
        self.num_flows = num_flows

    def prepare(self, feature: Tensor) -> Tensor:
        """Prepare features, (N, C, H, W), that are warped more than once."""
        if trained.has_warp_kernels(feature):
            return feature
        return split_groups(feature, self.num_flows)

    def forward(self, prepared: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
        """Align.

        Args:
            prepared (Tensor): From :meth:`prepare`.
            flow_masks (Tensor): n flow-mask pairs side by side, (N, 3n, h, W).
            rows (Tensor): Where their rows lie in the frame, (h, 1).

        Returns:
            Tensor: (N, C, h, W), at least float32; of the type of the features where
            a GPU warps them in one kernel.
        """
        if trained.has_warp_kernels(prepared):
            return trained.warp_channels(prepared, flow_masks, rows)
        return warp_groups(prepared, flow_masks, rows)


@MODELS.register_module()
class DeformableAlignment(BaseModule):
    """Modulated deformable convolution (DCNv2, arXiv 1811.11168) instead.

    The n = k^2 flow-mask pairs are the offsets and modulations of the k x k taps. Every
    tap is a masked warp of all channels and a 1x1 convolution; thus nothing is
    unfolded, and it can be computed on strips.

    Args:
        channels (int): C.
        num_flows (int): Flow-mask pairs, n; one for each tap.
        kernel_size (int): k; odd.

    Raises:
        ValueError: If n is not k^2, or k is even.
    """

    def __init__(self, channels: int, num_flows: int, kernel_size: int = 3) -> None:
        super().__init__()
        if kernel_size % 2 == 0 or num_flows != kernel_size**2:
            raise ValueError(
                'deformable convolution takes a flow-mask pair for each tap of an odd '
                f'kernel, got num_flows={num_flows} and kernel_size={kernel_size}; '
                f'set num_flows to {kernel_size**2}'
            )
        self.channels = channels
        self.num_flows = num_flows
        self.conv = WideConv2d(
            channels, channels, kernel_size, widens=False, casts=False
        )
        steps = torch.arange(kernel_size) - kernel_size // 2
        rows, columns = torch.meshgrid(steps, steps, indexing='ij')
        taps = torch.stack((columns, rows, torch.zeros_like(rows)), dim=2)
        # Positions of the taps as flow-mask pairs; not a weight.
        self.register_buffer('taps', taps.view(-1, 3, 1, 1).float(), persistent=False)

    def prepare(self, feature: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.prepare`."""
        with raised_precision(feature) as (feature,):
            return feature.contiguous()

    def forward(self, prepared: Tensor, flow_masks: Tensor, rows: Tensor) -> Tensor:
        """See :meth:`MultiFlowWarp.forward`."""
        weight = self.conv.weight.flatten(2)
        with raised_precision(prepared, flow_masks, weight) as (x, flow_masks, weight):
            pairs = flow_masks.unflatten(1, (-1, 3)) + self.taps
            return sum(
                F.conv2d(masked_warp(x, pair, rows), tap[..., None, None])
                for pair, tap in zip(pairs.unbind(1), weight.unbind(2), strict=True)
            )
