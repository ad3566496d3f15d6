"""Restormer, which keeps the size of its image, for windows and upsampling."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor

from ..common.layers import conv3x3


@MODELS.register_module()
class WindowRestormer(BaseModule):
    """Restore the sharp HR centre frame of a window by MMagic's ``Restormer``.

    A convolution turns the frames, side by side, into 3 s^2 channels; Restormer refines
    them, and they become the HR pixels by a pixel shuffle, added to the centre frame
    upsampled bilinearly.

    Args:
        num_frames (int): Frames of a window, T; odd.
        scale (int): Ratio of HR to LR size, s.
        **restormer: Arguments of MMagic's ``Restormer`` but the numbers of channels.

    Raises:
        ImportError: If MMagic is not installed.
        ValueError: If ``num_frames`` is even.
    """

    def __init__(self, num_frames: int, scale: int, **restormer) -> None:
        super().__init__()
        if num_frames % 2 == 0:
            raise ValueError(f'num_frames must be odd, got {num_frames}')
        self.scale = scale
        channels = 3 * scale**2
        self.conv_first = conv3x3(3 * num_frames, channels)
        # MMagic's, which the rest of this package's networks do without.
        from ...compat import prepare_openmmlab

        prepare_openmmlab()
        from mmagic.models.editors.restormer import Restormer

        self.body = Restormer(inp_channels=channels, out_channels=channels, **restormer)

    def forward(self, frames: Tensor) -> Tensor:
        """Map a window (N, T, 3, H, W) to its centre frame, (N, 3, sH, sW)."""
        centre = frames[:, frames.size(1) // 2]
        upsampled = F.interpolate(
            centre, scale_factor=self.scale, mode='bilinear', align_corners=False
        )
        feature = self.body(self.conv_first(frames.flatten(1, 2)))
        return upsampled + F.pixel_shuffle(feature, self.scale)
