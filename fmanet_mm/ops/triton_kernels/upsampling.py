"""Dynamic upsampling."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import as_pixels

_PIXELS = 16
"""Pixels of a program that computes all channels of each."""


@triton.jit
def _dynamic_upsample(
    frames, kernels, out, num_frames, height, columns,
    SIZE: tl.constexpr, SCALE: tl.constexpr, PIXELS: tl.constexpr,
    FILTERS: tl.constexpr,
):  # fmt: skip
    taps: tl.constexpr = SIZE * SIZE
    filters: tl.constexpr = SCALE * SCALE
    window = tl.program_id(1).to(tl.int64)
    image = height * columns
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    row, column = pixel // columns, pixel % columns
    which = tl.arange(0, FILTERS)
    there = (pixel < image)[:, None] & (which < filters)[None, :]
    of_filter = kernels + pixel[:, None] * (filters * taps) + (which * taps)[None, :]
    red = tl.zeros((PIXELS, FILTERS), tl.float32)
    green, blue, total = red, red, red
    red_sum = tl.zeros((PIXELS,), tl.float32)
    green_sum, blue_sum = red_sum, red_sum
    for frame in range(num_frames):
        number = window * num_frames + frame
        source = frames + number * 3 * image
        for tap in tl.static_range(taps):
            y = tl.minimum(tl.maximum(row + tap // SIZE - SIZE // 2, 0), height - 1)
            x = tl.minimum(tl.maximum(column + tap % SIZE - SIZE // 2, 0), columns - 1)
            at = of_filter + number * image * (filters * taps) + tap
            factor = tl.load(at, mask=there, other=0.0).to(tl.float32)
            at = source + y * columns + x
            red_part = tl.load(at).to(tl.float32)
            green_part = tl.load(at + image).to(tl.float32)
            blue_part = tl.load(at + 2 * image).to(tl.float32)
            red += factor * red_part[:, None]
            green += factor * green_part[:, None]
            blue += factor * blue_part[:, None]
            total += factor
            red_sum += red_part
            green_sum += green_part
            blue_sum += blue_part
    missing = (1 - total) / (num_frames * taps)
    y = row[:, None] * SCALE + (which // SCALE)[None, :]
    x = column[:, None] * SCALE + (which % SCALE)[None, :]
    to = out + window * 3 * filters * image + y * (columns * SCALE) + x
    tl.store(to, red + missing * red_sum[:, None], mask=there)
    to += filters * image
    tl.store(to, green + missing * green_sum[:, None], mask=there)
    to += filters * image
    tl.store(to, blue + missing * blue_sum[:, None], mask=there)


@torch.library.custom_op('fmanet_mm::dynamic_upsample', mutates_args=())
def dynamic_upsample(
    frames: Tensor, kernels: Tensor, kernel_size: int, scale: int
) -> Tensor:
    """Filter frames as :class:`FlowGuidedDynamicUpsampling` does.

    Args:
        frames (Tensor): (N, T, 3, H, W).
        kernels (Tensor): (N, T, s^2 k^2, H, W).
        kernel_size (int): k.
        scale (int): s.

    Returns:
        Tensor: (N, 3, sH, sW), float32.
    """
    count, num_frames, _, height, columns = frames.shape
    out = _upsampled(frames, scale)
    _dynamic_upsample[(triton.cdiv(height * columns, _PIXELS), count)](
        frames.contiguous(), as_pixels(kernels.flatten(0, 1)), out,
        num_frames, height, columns, SIZE=kernel_size, SCALE=scale, PIXELS=_PIXELS,
        FILTERS=triton.next_power_of_2(scale**2),
    )  # fmt: skip
    return out


@dynamic_upsample.register_fake
def _(frames, kernels, kernel_size, scale):
    as_pixels(kernels.flatten(0, 1))
    return _upsampled(frames, scale)


def _upsampled(frames: Tensor, scale: int) -> Tensor:
    """Memory for what frames, (N, T, 3, H, W), become."""
    count, _, _, height, columns = frames.shape
    size = count, 3, scale * height, scale * columns
    return frames.new_empty(size, dtype=torch.float32)
