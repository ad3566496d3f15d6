"""From the degradation kernels K to the guide k of degradation-aware attention."""

from typing import NamedTuple

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...ops.precision import raised_precision
from ..common.layers import conv3x3, per_frame
from ..common.wide_convs import WideConv2d


class FactoredKernels(NamedTuple):
    """Degradation kernels that need not be computed as such.

    Attributes:
        feature (Tensor): What their convolution reads, (N, C, H, W).
        weight (Tensor): The convolution's weight, (3 k_d^2, C, 3, 3).
    """

    feature: Tensor
    weight: Tensor

    def compute(self) -> Tensor:
        """The kernels before softmax, (N, 3 k_d^2, H, W)."""
        return F.conv2d(self.feature, self.weight.to(self.feature.dtype), padding=1)


@MODELS.register_module()
class PointwiseKernelEmbedding(BaseModule):
    """A 1x1 convolution, 3 k_d^2 -> C channels.

    It and the convolution before it, which computes the kernels, are one 3x3
    convolution of C -> C channels. So the kernels, 1200 channels in the published
    network, are never computed, in training neither.

    Args:
        channels (int): C.
        kernel_size (int): Degradation kernel size, k_d.

    Attributes:
        halo (int): Rows around its own that an output row depends on.
    """

    halo = 1

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = WideConv2d(3 * kernel_size**2, channels, 1, casts=False)

    def forward(self, kernels: FactoredKernels) -> Tensor:
        """Embed kernels, (N, C, H, W)."""
        feature, weight = kernels
        weight = self.compose(weight).to(feature.dtype)
        return F.conv2d(feature, weight, padding=1)

    def compose(self, weight: Tensor) -> Tensor:
        """The weight of both convolutions, for that of the first, (C, C, 3, 3)."""
        with raised_precision(self.conv.weight, weight) as (own, weight):
            composed = own.flatten(1) @ weight.flatten(1)
            return composed.unflatten(1, weight.shape[1:])


@MODELS.register_module()
class TapKernelEmbedding(BaseModule):
    """A 3x3 convolution of the taps of each frame, and a 1x1 one of all three.

    The first, k_d^2 -> C channels, is the same for the three frames that a kernel
    reads. The kernels are computed.

    Args:
        channels (int): C.
        kernel_size (int): Degradation kernel size, k_d.

    Attributes:
        halo (int): Rows around its own that an output row depends on.
    """

    halo = 2

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = conv3x3(kernel_size**2, channels)
        self.fusion = nn.Conv2d(3 * channels, channels, 1, bias=False)

    def forward(self, kernels: FactoredKernels) -> Tensor:
        """Embed kernels, (N, C, H, W)."""
        taps = kernels.compute().unflatten(1, (3, -1))
        return self.fusion(per_frame(self.conv, taps).flatten(1, 2))
