"""Motion that a network has estimated."""

from typing import NamedTuple

from torch import Tensor
from torch.nn.functional import avg_pool2d


class LearnedDegradation(NamedTuple):
    """The degradation that a network has estimated for a window.

    Attributes:
        flow (Tensor): From the centre frame to each, (T, 2, H, W), LR pixels.
        kernels (Tensor): Degradation kernels of one pixel, (T, k, k), which sum to 1.
        pixel (tuple[int, int]): Row and column of that pixel, the one that moves most.
    """

    flow: Tensor
    kernels: Tensor
    pixel: tuple[int, int]


def most_moving_pixel(flow: Tensor) -> tuple[int, int]:
    """Find where the flow, smoothed over 9x9 pixels, is longest.

    Args:
        flow (Tensor): From the centre frame to each, (T, 2, H, W).

    Returns:
        tuple[int, int]: Row and column of the pixel.
    """
    length = flow.norm(dim=1).amax(0)[None, None]
    smooth = avg_pool2d(length, kernel_size=9, stride=1, padding=4)[0, 0]
    return divmod(smooth.argmax().item(), smooth.size(1))
