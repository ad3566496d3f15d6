"""How kernels see features: pixel by pixel."""

from torch import Tensor


def as_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy of what is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()


def dense_channels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), the channels of a pixel next to each other."""
    pixels = x.permute(0, 2, 3, 1)
    return pixels if pixels.stride(3) == 1 else pixels.contiguous()


def dense_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H * W, C), the channels of a pixel next to each other."""
    return dense_channels(x).flatten(1, 2)


def empty_pixels(x: Tensor, channels: int) -> Tensor:
    """(N, C, H, W) -> (N, H, W, channels), of the same type."""
    count, _, height, width = x.shape
    return x.new_empty((count, height, width, channels))
