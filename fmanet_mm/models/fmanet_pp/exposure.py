"""Exposure: its extractor (ETE) and the modulation of features by it (ETM)."""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ..common.layers import NEGATIVE_SLOPE


@MODELS.register_module()
class ExposureExtractor(BaseModule):
    """ResNet-18 (arXiv 1512.03385) up to a stage, averaged over all pixels.

    It maps single blurry frames to vectors that tell exposure times apart (Section 3.2
    of the paper). With the default three stages it has 2.78 M parameters; all four
    would be more than the paper's count leaves room for.

    Args:
        width (int): Channels of the first stage; each further one has twice as many.
        num_stages (int): Stages of two residual blocks, 1 to 4.
        init_cfg (dict, optional): Initialisation config.

    Attributes:
        channels (int): Length of a vector, d_u.

    Raises:
        ValueError: If there is no such stage.
    """

    def __init__(
        self, width: int = 64, num_stages: int = 3, init_cfg: dict | None = None
    ) -> None:
        super().__init__(init_cfg)
        if not 1 <= num_stages <= 4:
            raise ValueError(f'num_stages must be 1 to 4, got {num_stages}')
        self.conv = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(width)
        sizes = [width * 2**stage for stage in range(num_stages)]
        self.stages = nn.ModuleList(
            nn.Sequential(
                ResidualBlock(before, after, stride=1 if before == after else 2),
                ResidualBlock(after, after, stride=1),
            )
            for before, after in zip([width, *sizes], sizes, strict=False)
        )
        self.channels = sizes[-1]

    def forward(self, frames: Tensor) -> Tensor:
        """Map frames (N, 3, H, W), RGB in [0, 1], to vectors (N, d_u)."""
        x = F.relu(self.norm(self.conv(frames)), inplace=True)
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for stage in self.stages:
            x = stage(x)
        return x.mean(dim=(2, 3))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, each with batch normalisation.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        stride (int): Ratio of the input's size to the output's.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride=stride, padding=1, bias=False
        )
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            self.shortcut.append(
                nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
            )
            self.shortcut.append(nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H / stride, W / stride)."""
        hidden = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(x), inplace=True)


class ExposureModulation(BaseModule):
    """Scales and shifts the channels of a feature by exposure (ETM).

    Two linear layers compute scale and shift. The last one is zero in the beginning, so
    that an untrained modulation changes nothing.

    Args:
        exposure_channels (int): Length of the exposure vectors, d_u.
        hidden_channels (int): Length of the hidden vector.
        channels (int): C.
    """

    def __init__(
        self, exposure_channels: int, hidden_channels: int, channels: int
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(exposure_channels, hidden_channels),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(hidden_channels, 2 * channels),
        )
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, feature: Tensor, exposure: Tensor) -> Tensor:
        """Compute ``(1 + scale) * feature + shift``.

        Args:
            feature (Tensor): (N, C, H, W).
            exposure (Tensor): (N, d_u).

        Returns:
            Tensor: (N, C, H, W).
        """
        exposure = exposure.to(self.layers[0].weight.dtype)
        layers = self.layers(exposure).to(feature.dtype)[..., None, None]
        scale, shift = layers.chunk(2, dim=1)
        # 1 + scale would round small scales away in half precision.
        return torch.addcmul(feature + shift, feature, scale)
