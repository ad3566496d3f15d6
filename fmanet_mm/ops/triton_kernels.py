"""Fused kernels for GPUs, in Triton.

Each is an operation of torch of its own, so that graphs and the cost model can follow
it, and equals the operations of torch that its docstring names but for rounding.
Nothing here is imported unless Triton is installed.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_PIXELS = 16
"""Pixels of a program that computes all channels of each."""

_ELEMENTS = 1024
"""Elements of a program that computes each on its own."""


@triton.jit
def _normalise(
    x, out, pixels, channels, width, eps,
    CENTRED: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    there = (pixel < pixels) & (channel < width)
    real = there & (channel < channels)
    at = pixel * width + channel
    value = tl.load(x + at, mask=real, other=0.0).to(tl.float32)
    mean = tl.sum(value, 1, keep_dims=True) / channels
    centred = tl.where(real, value - mean, 0.0)
    variance = tl.sum(centred * centred, 1, keep_dims=True) / channels
    result = (centred if CENTRED else value) * tl.rsqrt(variance + eps)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::normalise', mutates_args=())
def normalise(x: Tensor, channels: int, centred: bool, eps: float) -> Tensor:
    """See :func:`fmanet_mm.ops.fused.normalise`; not of float64."""
    pixels = _rows(x)
    out = torch.empty_like(pixels)
    count, width = pixels.size(0) * pixels.size(1) * pixels.size(2), pixels.size(3)
    _normalise[(triton.cdiv(count, _PIXELS),)](
        pixels, out, count, channels, width, eps,
        CENTRED=centred, PIXELS=_PIXELS, WIDTH=triton.next_power_of_2(width),
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@normalise.register_fake
def _(x, channels, centred, eps):
    return torch.empty_like(_rows(x)).permute(0, 3, 1, 2)


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
    left, top = tl.floor(from_x), tl.floor(from_y)
    right_part, bottom_part = from_x - left, from_y - top
    frame_start = x + frame * height * columns * width + channel
    total = tl.zeros((PIXELS, WIDTH), tl.float32)
    for corner in tl.static_range(4):
        source_x, source_y = left + corner % 2, top + corner // 2
        weight_x = right_part if corner % 2 else 1 - right_part
        weight_y = bottom_part if corner // 2 else 1 - bottom_part
        inside = (source_x >= 0) & (source_x < columns)
        inside = real & inside & (source_y >= 0) & (source_y < height)
        # What lies outside is not read; its position need only be a number.
        position = tl.where(inside, source_y, 0).to(tl.int64) * columns
        position += tl.where(inside, source_x, 0).to(tl.int64)
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
    pixels = _rows(x)
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


@triton.jit
def _gelu_gate(gate, value, out, elements, ELEMENTS: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    there = at < elements
    x = tl.load(gate + at, mask=there).to(tl.float32)
    y = tl.load(value + at, mask=there).to(tl.float32)
    result = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476)) * y
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::gelu_gate', mutates_args=())
def gelu_gate(gate: Tensor, value: Tensor) -> Tensor:
    """``gelu(gate) * value`` of (N, C, H, W), rounded once."""
    gate, value = _rows(gate), _rows(value)
    out = torch.empty_like(gate)
    elements = out.numel()
    _gelu_gate[(triton.cdiv(elements, _ELEMENTS),)](
        gate, value, out, elements, ELEMENTS=_ELEMENTS
    )
    return out.permute(0, 3, 1, 2)


@gelu_gate.register_fake
def _(gate, value):
    return torch.empty_like(_rows(gate)).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy of what is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()
