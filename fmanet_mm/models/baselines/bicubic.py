"""Bicubic upsampling, the baseline of all baselines."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor


@MODELS.register_module()
class BicubicUpsampling(BaseModule):
    """Upsample the centre frame of a window bicubically.

    The kernel has a = -0.5, as MATLAB's and Pillow's (OpenCV's and PyTorch's default
    is -0.75). It has no parameters and serves as ``generator`` of MMagic's
    ``BaseEditModel``.

    Args:
        scale (int): Ratio of HR to LR size, s.
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, frames: Tensor) -> Tensor:
        """Map a window (N, T, 3, H, W) to its centre frame, (N, 3, sH, sW)."""
        centre = frames[:, frames.size(1) // 2]
        # In upsampling, antialias only changes the kernel's a.
        return F.interpolate(
            centre, scale_factor=self.scale, mode='bicubic', antialias=True
        )
