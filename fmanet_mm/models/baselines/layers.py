"""Small parts that several baselines share."""

import torch.nn.functional as F
from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with an activation between them, added to the input.

    Args:
        channels (int): C.
        slope (float): Slope of the LeakyReLU; 0: ReLU.
    """

    def __init__(self, channels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_out = nn.Conv2d(channels, channels, 3, padding=1)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Refine (N, C, H, W)."""
        return x + self.residual(x)

    def residual(self, x: Tensor) -> Tensor:
        """What is added to (N, C, H, W)."""
        hidden = F.leaky_relu(self.conv_in(x), self.slope, inplace=True)
        return self.conv_out(hidden)


def upsampling_convs(
    in_channels: int, channels: int, slope: float | None = None
) -> list[nn.Module]:
    """Convolutions and two pixel shuffles that enlarge a feature fourfold to an image.

    Args:
        in_channels (int): Channels of the feature.
        channels (int): Channels of the enlarged ones.
        slope (float, optional): Slope of a LeakyReLU after the first shuffle; None:
            without.
    """
    activation = [] if slope is None else [nn.LeakyReLU(slope, inplace=True)]
    return [
        nn.Conv2d(in_channels, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
        *activation,
        nn.Conv2d(channels, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
        nn.Conv2d(channels, 3, 3, padding=1),
    ]
