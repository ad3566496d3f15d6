"""Small pieces that several networks share."""

import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2
"""Slope of every LeakyReLU of FMA-Net."""


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A bias-free 3x3 convolution that keeps height and width."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


def conv_pair(in_channels: int, hidden_channels: int, out_channels: int) -> Sequential:
    """conv3x3, LeakyReLU, conv3x3: the form of all heads and embeddings."""
    return Sequential(
        conv3x3(in_channels, hidden_channels),
        nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
        conv3x3(hidden_channels, out_channels),
    )


def per_frame(module: nn.Module, x: Tensor) -> Tensor:
    """Apply a module of (N, C, H, W) to every frame of (N, T, C, H, W)."""
    return module(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class FrameFusion(nn.Conv2d):
    """A 1x1 convolution over the channels of all T frames side by side.

    Its weight is (C_out, C_carry + C*T, 1, 1), the frames' part channel-major:
    channel, then frame. The parts are summed up one by one; their concatenation is
    never built.

    Args:
        channels (int): Channels of each frame, C.
        num_frames (int): T.
        carry_channels (int): Channels of a feature that stands before the frames.
    """

    def __init__(self, channels: int, num_frames: int, carry_channels: int = 0) -> None:
        super().__init__(
            carry_channels + channels * num_frames, channels, 1, bias=False
        )
        self.num_frames = num_frames
        self.carry_channels = carry_channels

    def forward(self, frames: Tensor, carry: Tensor | None = None) -> Tensor:
        """Fuse (N, T, C, H, W) and, if there is one, ``carry`` to (N, C, H, W)."""
        for_carry, for_frames = self.weight.tensor_split((self.carry_channels,), 1)
        weights = for_frames.unflatten(1, (-1, self.num_frames)).unbind(2)
        fused = sum(
            F.conv2d(frame, weight)
            for frame, weight in zip(frames.unbind(1), weights, strict=True)
        )
        return fused if carry is None else fused + F.conv2d(carry, for_carry)


class TemporalConv(nn.Conv3d):
    """A bias-free 3x3x3 convolution, computed as 2-D convolutions.

    Frames outside the window count as zero and are not computed.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Convolve (N, T, C, H, W) to (N, T, C_out, H, W)."""
        num_frames = frames.size(1)
        weights = self.weight.unbind(2)
        out = [
            sum(
                F.conv2d(frames[:, t + offset - 1], weights[offset], padding=1)
                for offset in range(3)
                if 0 <= t + offset - 1 < num_frames
            )
            for t in range(num_frames)
        ]
        return torch.stack(out, dim=1)
