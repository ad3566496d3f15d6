"""Flow at half the LR size, the LR size and the HR size, coarse to fine."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....ops import flow_warp
from ...common.layers import conv3x3

NEGATIVE_SLOPE = 0.1
"""Slope of every LeakyReLU of the flow network."""


class PyramidFlow(NamedTuple):
    """Flow from a frame to the one before it, x then y.

    Each is in pixels of its own size: the previous frame at p + flow(p) shows what the
    frame shows at p.

    Attributes:
        half (Tensor): At half the LR size, (N, 2, H/2, W/2).
        low (Tensor): At the LR size, (N, 2, H, W).
        high (Tensor): At the HR size, (N, 2, sH, sW).
    """

    half: Tensor
    low: Tensor
    high: Tensor


class PyramidFlowNet(nn.Module):
    """Estimates the flow between two frames as the OFRnet of SOF-VSR does, on RGB.

    Args:
        scale (int): Ratio of HR to LR size, s.
        channels (int): Channels of the features.
    """

    def __init__(self, scale: int = 4, channels: int = 32) -> None:
        super().__init__()
        self.scale = scale
        self.half_trunk = Trunk(6, channels, 2)
        self.low_trunk = Trunk(14, channels, 2)
        self.high_trunk = Trunk(14, channels, 2 * scale**2)

    def forward(self, frame: Tensor, previous: Tensor) -> PyramidFlow:
        """Estimate the flow from a frame to the one before it.

        Args:
            frame (Tensor): (N, 3, H, W); H and W even.
            previous (Tensor): Likewise.
        """
        halves = [F.avg_pool2d(image, 2) for image in (frame, previous)]
        half = self.half_trunk(torch.cat(halves, dim=1))
        coarse = enlarge_flow(half, 2)
        low = coarse + self.low_trunk(_describe(frame, previous, coarse))
        residual = self.high_trunk(_describe(frame, previous, low))
        high = enlarge_flow(low, self.scale) + F.pixel_shuffle(residual, self.scale)
        return PyramidFlow(half, low, high)


class DenseBlock(nn.Module):
    """Four convolutions, each of all before it, fused and added to the input.

    Args:
        channels (int): C, also of each convolution's output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            conv3x3(number * channels, channels) for number in range(1, 5)
        )
        self.fusion = nn.Conv2d(5 * channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        features = x
        for conv in self.convs:
            new = F.leaky_relu(conv(features), NEGATIVE_SLOPE, inplace=True)
            features = torch.cat((features, new), dim=1)
        return x + self.fusion(features)


class Trunk(nn.Module):
    """Two dense blocks, whose outputs side by side give the flow of a level.

    Args:
        in_channels (int): C_in.
        channels (int): Channels of the blocks.
        out_channels (int): C_out.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv_in = conv3x3(in_channels, channels)
        self.blocks = nn.ModuleList(DenseBlock(channels) for _ in range(2))
        self.head = nn.Sequential(
            conv3x3(2 * channels, out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, H, W)."""
        first = self.blocks[0](self.conv_in(x))
        return self.head(torch.cat((first, self.blocks[1](first)), dim=1))


def enlarge_flow(flow: Tensor, scale: int) -> Tensor:
    """Flow (N, 2, H, W) on a grid ``scale`` times as fine, in its pixels."""
    return scale * F.interpolate(
        flow, scale_factor=scale, mode='bilinear', align_corners=False
    )


def warp_previous(previous: Tensor, flow: Tensor) -> Tensor:
    """The previous frame where a frame's flow points to; its border beyond."""
    return flow_warp(previous, flow, padding_mode='border')


def _describe(frame: Tensor, previous: Tensor, flow: Tensor) -> Tensor:
    """What a level reads of two frames and the flow of the level before."""
    warped = warp_previous(previous, flow).to(frame.dtype)
    parts = frame, previous, warped, frame - warped, flow.to(frame.dtype)
    return torch.cat(parts, dim=1)
