"""The network: recurrence on the warped output, two branches, channel attention."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, Sequential
from mmengine.registry import MODELS
from torch import Tensor, nn

from ....ops import WHOLE_FRAMES, Strips
from ..bicubic import BicubicUpsampling
from ..layers import ResidualBlock, upsampling_convs
from .pyramid_flow import PyramidFlow, PyramidFlowNet, warp_previous

SCALE = 4
"""Ratio of HR to LR size."""

NEGATIVE_SLOPE = 0.1
"""Slope of the LeakyReLU at the beginning of a branch."""

REDUCTION = 16
"""Ratio of the channels of a feature to those between its attention's layers."""


class HOFFRState(NamedTuple):
    """What a frame leaves to the next one.

    Attributes:
        frame (Tensor): The blurry frame, (N, 3, H, W).
        output (Tensor): What it was restored to, (N, 3, 4H, 4W).
    """

    frame: Tensor
    output: Tensor


class HOFFRStep(NamedTuple):
    """All that is computed for a frame.

    Attributes:
        output (Tensor): The restored frame, (N, 3, 4H, 4W).
        deblurred (Tensor): The deblurred LR frame, (N, 3, H, W).
        flow (PyramidFlow): From the frame to the one before it.
    """

    output: Tensor
    deblurred: Tensor
    flow: PyramidFlow


@MODELS.register_module()
class HOFFR(BaseModule):
    """Restores video frame by frame, x4; a :class:`RecurrentNetwork`.

    Not the published network but a reconstruction, see this package. Frames stay
    whole: channel attention takes means over them, and the flow may point anywhere.

    Args:
        channels (int): Channels of the features, C.
        num_blocks (int): Residual blocks of each branch.
        num_attention_blocks (int): Blocks with channel attention that fuse them.
        flow_channels (int): Channels of the flow network.
        init_cfg (dict, optional): Initialisation config.

    Attributes:
        scale (int): Ratio of the output's size to the input's: 4.
    """

    scale = SCALE

    def __init__(
        self,
        channels: int = 64,
        num_blocks: int = 14,
        num_attention_blocks: int = 4,
        flow_channels: int = 32,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        in_channels = 3 + 3 * SCALE**2
        self.flow_net = PyramidFlowNet(SCALE, flow_channels)
        self.upsampling = BicubicUpsampling(SCALE)
        self.sr_branch = Branch(in_channels, channels, num_blocks)
        self.deblurring_branch = Branch(in_channels, channels, num_blocks)
        self.deblurring_head = nn.Conv2d(channels, 3, 3, padding=1)
        self.fusion = Sequential(
            nn.Conv2d(2 * channels, channels, 1),
            *(ChannelAttentionBlock(channels) for _ in range(num_attention_blocks)),
        )
        self.upsampler = Sequential(*upsampling_convs(channels, channels))

    def forward(self, clip: Tensor) -> Tensor:
        """Restore a clip, (N, T, 3, H, W), to (N, T, 3, 4H, 4W)."""
        return torch.stack([step.output for step in self.unroll(clip)], dim=1)

    def unroll(self, clip: Tensor) -> Iterator[HOFFRStep]:
        """Compute the steps of a clip, (N, T, 3, H, W); gradients flow through all."""
        state = None
        for frame in clip.unbind(1):
            step = self.restore_frame(frame, state)
            state = HOFFRState(frame, step.output)
            yield step

    def step(
        self,
        frame: Tensor,
        state: HOFFRState | None = None,
        strips: Strips = WHOLE_FRAMES,
    ) -> tuple[Tensor, HOFFRState]:
        """Restore the next frame of a clip; see :class:`RecurrentNetwork`."""
        output = self.restore_frame(frame, state).output
        return output, HOFFRState(frame, output)

    def restore_frame(self, frame: Tensor, state: HOFFRState | None) -> HOFFRStep:
        """Restore the next frame of a clip.

        Args:
            frame (Tensor): Blurry frame, (N, 3, H, W), RGB in [0, 1].
            state (HOFFRState, optional): Of the frame before; None at the first one,
                which is its own predecessor, enlarged bicubically.

        Returns:
            HOFFRStep: The restored frame and what led to it.

        Raises:
            ValueError: If the height or width is odd.
        """
        height, width = frame.shape[-2:]
        if height % 2 or width % 2:
            raise ValueError(
                f'HOFFR takes frames of even height and width, got {width}x{height}; '
                'pad them, as RecurrentRestorer does with multiple=2'
            )
        upsampled = self.upsampling(frame.unsqueeze(1))
        previous = state or HOFFRState(frame, upsampled)
        flow = self.flow_net(frame, previous.frame)
        warped = warp_previous(previous.output, flow.high).to(frame.dtype)
        inputs = torch.cat((F.pixel_unshuffle(warped, SCALE), frame), dim=1)
        sharpened = self.deblurring_branch(inputs)
        fused = self.fusion(torch.cat((self.sr_branch(inputs), sharpened), dim=1))
        return HOFFRStep(
            self.upsampler(fused) + upsampled,
            self.deblurring_head(sharpened) + frame,
            flow,
        )


class Branch(nn.Module):
    """Residual blocks, the outputs of all of which are gathered.

    Args:
        in_channels (int): Channels of the input.
        channels (int): C.
        num_blocks (int): Residual blocks.
    """

    def __init__(self, in_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.blocks = nn.ModuleList(ResidualBlock(channels) for _ in range(num_blocks))
        self.fusion = nn.Conv2d(num_blocks * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C, H, W)."""
        x = F.leaky_relu(self.conv_in(x), NEGATIVE_SLOPE, inplace=True)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return self.fusion(torch.cat(outputs, dim=1))


class ChannelAttentionBlock(ResidualBlock):
    """A residual block whose channels are weighed by means over the frame (RCAN's).

    Args:
        channels (int): C, at least 16.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, channels // REDUCTION, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // REDUCTION, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        residual = self.residual(x)
        return x + residual * self.attention(residual)
