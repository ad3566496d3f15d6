"""The warp of groups of channels by flow-mask pairs."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import as_pixels

_PIXELS = 16
"""Pixels of a program that computes all channels of each."""


@triton.jit
def find_corner(x, y, corner: tl.constexpr, real, height, columns):
    """A pixel next to a position: its number, whether to read it, and its weights."""
    left, top = tl.floor(x), tl.floor(y)
    right_part, bottom_part = x - left, y - top
    source_x, source_y = left + corner % 2, top + corner // 2
    weight_x = right_part if corner % 2 else 1 - right_part
    weight_y = bottom_part if corner // 2 else 1 - bottom_part
    inside = (source_x >= 0) & (source_x < columns)
    inside = real & inside & (source_y >= 0) & (source_y < height)
    # What lies outside is not read; its position need only be a number.
    pixel = tl.where(inside, source_y, 0).to(tl.int64) * columns
    pixel += tl.where(inside, source_x, 0).to(tl.int64)
    return pixel, inside, weight_x, weight_y


@triton.jit
def _warp(
    x, flow_masks, rows, out, height, columns, channels, width, strip_rows,
    group_size, frame_stride, pair_stride, row_stride, column_stride,
    PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    frame = tl.program_id(1).to(tl.int64)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    there = (pixel < strip_rows * columns) & (channel < width)
    real = there & (channel < channels)
    row, column = pixel // columns, pixel % columns
    pair = 3 * (channel // group_size)
    at = flow_masks + frame * frame_stride + row * row_stride + column * column_stride
    flow_x = tl.load(at + pair * pair_stride, mask=real, other=0.0).to(tl.float32)
    flow_y = tl.load(at + (pair + 1) * pair_stride, mask=real, other=0.0)
    mask = tl.load(at + (pair + 2) * pair_stride, mask=real, other=0.0)
    from_x = column + flow_x
    from_y = tl.load(rows + row, mask=row < strip_rows, other=0) + flow_y.to(tl.float32)
    frame_start = x + frame * height * columns * width + channel
    total = tl.zeros((PIXELS, WIDTH), tl.float32)
    for corner in tl.static_range(4):
        position, inside, weight_x, weight_y = find_corner(
            from_x, from_y, corner, real, height, columns
        )
        value = tl.load(frame_start + position * width, mask=inside, other=0.0)
        total += value.to(tl.float32) * (weight_x * weight_y)
    result = tl.where(real, total * tl.sigmoid(mask.to(tl.float32)), 0.0)
    to = (frame * strip_rows * columns + pixel) * width + channel
    tl.store(out + to, result.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::warp_channels', mutates_args=())
def warp_channels(x: Tensor, flow_masks: Tensor, rows: Tensor, channels: int) -> Tensor:
    """Warp groups of channels, each by a flow-mask pair of its own.

    :func:`~fmanet_mm.ops.warp_groups` of the first channels, without their copies.

    Args:
        x (Tensor): Features, (N, C + zero channels, H, W), float32 or half precision.
        flow_masks (Tensor): n flow-mask pairs side by side, (N, 3n, h, W).
        rows (Tensor): Where their rows lie in ``x``, (h, 1).
        channels (int): C, a multiple of n.

    Returns:
        Tensor: (N, C + zero channels, h, W), of the type of ``x``.
    """
    pixels = as_pixels(x)
    count, height, columns, width = pixels.shape
    strip_rows = flow_masks.size(2)
    out = pixels.new_empty((count, strip_rows, columns, width))
    frame_stride, pair_stride, row_stride, column_stride = flow_masks.stride()
    _warp[(triton.cdiv(strip_rows * columns, _PIXELS), count)](
        pixels, flow_masks, rows, out, height, columns, channels, width, strip_rows,
        channels // (flow_masks.size(1) // 3),
        frame_stride, pair_stride, row_stride, column_stride,
        PIXELS=_PIXELS, WIDTH=triton.next_power_of_2(width),
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@warp_channels.register_fake
def _(x, flow_masks, rows, channels):
    size = x.size(0), flow_masks.size(2), x.size(3), x.size(1)
    return x.new_empty(size).permute(0, 3, 1, 2)
