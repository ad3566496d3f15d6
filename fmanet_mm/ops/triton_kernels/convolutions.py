"""Depth-wise convolutions."""

from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import dense_channels, empty_pixels

_TILE = 16, 32
"""Pixels of a row, and channels of each, that a program convolves, row after row.

64 bytes are fast to read, and few pixels are read a second time by their neighbours.
"""

_TILE_ROWS = 16, 8
"""Rows that it convolves; the fewer, if there were not enough programs otherwise."""

_PROGRAMS = 1056
"""Programs that keep a large GPU busy: 8 for each of 132 multiprocessors."""


@triton.jit
def _load_taps(taps, stride, inside):
    """Nine weights of every element, row by row, in float32."""
    return (
        tl.load(taps, mask=inside).to(tl.float32),
        tl.load(taps + stride, mask=inside).to(tl.float32),
        tl.load(taps + 2 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 3 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 4 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 5 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 6 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 7 * stride, mask=inside).to(tl.float32),
        tl.load(taps + 8 * stride, mask=inside).to(tl.float32),
    )


@triton.jit
def _load_row(row, pixel_stride, left, inside, right, exists):
    """Elements of the pixels to the left, of the pixels, and of those to the right."""
    return (
        tl.load(row - pixel_stride, mask=left & exists, other=0.0),
        tl.load(row, mask=inside & exists, other=0.0),
        tl.load(row + pixel_stride, mask=right & exists, other=0.0),
    )


@triton.jit
def _add_row(above, here, row, taps):
    """Sums of the row above, which is complete then, of this row and of the next."""
    x, y, z = row[0].to(tl.float32), row[1].to(tl.float32), row[2].to(tl.float32)
    return (
        above + x * taps[6] + y * taps[7] + z * taps[8],
        here + x * taps[3] + y * taps[4] + z * taps[5],
        x * taps[0] + y * taps[1] + z * taps[2],
    )


@triton.jit
def _depthwise(
    x, taps, out, height, width, channels, taps_stride,
    frame_stride, row_stride, pixel_stride,
    GATED: tl.constexpr,
    ROWS: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    tiles, element = tl.cdiv(channels, CHANNELS), tl.arange(0, PIXELS * CHANNELS)
    channel = tl.program_id(0) % tiles * CHANNELS + element % CHANNELS
    column = tl.program_id(0) // tiles * PIXELS + element // CHANNELS
    top = tl.program_id(1) * ROWS
    frame = tl.program_id(2).to(tl.int64)
    inside = (column < width) & (channel < channels)
    left, right = inside & (column > 0), inside & (column < width - 1)
    row = x + frame * frame_stride + (top - 1).to(tl.int64) * row_stride
    at = column * pixel_stride + channel
    weights = _load_taps(taps + channel, taps_stride, inside)
    pixels = _load_row(row + at, pixel_stride, left, inside, right, top > 0)
    row += row_stride
    pixels_below = _load_row(row + at, pixel_stride, left, inside, right, True)
    above = tl.zeros((PIXELS * CHANNELS,), tl.float32)
    here = above
    if GATED:
        value_taps, value_at = taps + channels + channel, channels + at
        value_weights = _load_taps(value_taps, taps_stride, inside)
        to_value = row + value_at
        values = _load_row(
            to_value - row_stride, pixel_stride, left, inside, right, top > 0
        )
        values_below = _load_row(to_value, pixel_stride, left, inside, right, True)
        value_above, value_here = above, above
    bottom = tl.minimum(top + ROWS, height)
    to = out + (frame * height + top) * width * channels + column * channels + channel
    for below in range(top, bottom + 2):
        # A row is loaded while the two above it are computed.
        row += row_stride
        exists = (below < bottom) & (below + 1 < height)
        latest = _load_row(row + at, pixel_stride, left, inside, right, exists)
        result, above, here = _add_row(above, here, pixels, weights)
        pixels, pixels_below = pixels_below, latest
        if GATED:
            latest = _load_row(
                row + value_at, pixel_stride, left, inside, right, exists
            )
            value, value_above, value_here = _add_row(
                value_above, value_here, values, value_weights
            )
            values, values_below = values_below, latest
        if below > top + 1:
            if GATED:
                result = _gelu(result) * value
            tl.store(to, result.to(out.dtype.element_ty), mask=inside)
            to += width * channels


@triton.jit
def _gelu(x):
    # The normal distribution's tail by Abramowitz and Stegun, 7.1.26: as exact as
    # float32, and half the instructions of erf, which would take longer than memory.
    size = tl.abs(x)
    t = 1 / (1 + 0.2316418882 * size)
    tail = 0.5307027145 * t - 0.7265760135
    tail = ((tail * t + 0.7107068705) * t - 0.142248368) * t + 0.127414796
    return tl.maximum(x, 0.0) - size * t * tail * tl.exp2(-0.7213475204 * x * x)


@torch.library.custom_op('fmanet_mm::depthwise', mutates_args=())
def depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """Depth-wise convolution of 3x3 with zero padding, rounded once.

    Args:
        x (Tensor): (N, C, H, W), float32 or half precision; in channels-last memory,
            or a part of the channels of what is, or it is copied.
        taps (Tensor): The nine weights of each channel, (9, C).

    Returns:
        Tensor: (N, C, H, W), channels last.
    """
    return _convolve(x, taps, x.size(1), gated=False)


@depthwise.register_fake
def _(x, taps):
    return empty_pixels(x, x.size(1)).permute(0, 3, 1, 2)


@torch.library.custom_op('fmanet_mm::gated_depthwise', mutates_args=())
def gated_depthwise(x: Tensor, taps: Tensor) -> Tensor:
    """``gelu(gate) * value``, halves of :func:`depthwise`, rounded once.

    Args:
        x (Tensor): Gate and value, (N, 2C, H, W).
        taps (Tensor): Their weights, (9, 2C).

    Returns:
        Tensor: (N, C, H, W), channels last.
    """
    return _convolve(x, taps, x.size(1) // 2, gated=True)


@gated_depthwise.register_fake
def _(x, taps):
    return empty_pixels(x, x.size(1) // 2).permute(0, 3, 1, 2)


def _convolve(x: Tensor, taps: Tensor, channels: int, gated: bool) -> Tensor:
    pixels = dense_channels(x)
    out = empty_pixels(x, channels)
    count, height, width, _ = out.shape
    tiles = prod(map(triton.cdiv, (width, channels), _TILE))
    for rows in _TILE_ROWS:
        grid = tiles, triton.cdiv(height, rows), count
        if prod(grid) >= _PROGRAMS:
            break
    _depthwise[grid](
        pixels, taps, out, height, width, channels, taps.stride(0),
        *pixels.stride()[:3],
        GATED=gated, ROWS=rows, PIXELS=_TILE[0], CHANNELS=_TILE[1],
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)
