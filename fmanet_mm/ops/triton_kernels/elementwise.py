"""What surrounds convolutions: normalising, adding up, activating."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import as_pixels

_PIXELS = 16
"""Pixels of a program that computes all channels of each."""

_ELEMENTS = 1024
"""Elements of a program that computes each on its own."""


@triton.jit
def centre(value, real, channels):
    """Subtract the mean of every row's real values; and their (biased) variance."""
    mean = tl.sum(value, 1, keep_dims=True) / channels
    centred = tl.where(real, value - mean, 0.0)
    return centred, tl.sum(centred * centred, 1, keep_dims=True) / channels


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
    centred, variance = centre(value, real, channels)
    result = (centred if CENTRED else value) * tl.rsqrt(variance + eps)
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::normalise', mutates_args=())
def normalise(x: Tensor, channels: int, centred: bool, eps: float) -> Tensor:
    """See :func:`fmanet_mm.ops.fused.normalise`; not of float64."""
    pixels = as_pixels(x)
    out = torch.empty_like(pixels)
    count, width = pixels.size(0) * pixels.size(1) * pixels.size(2), pixels.size(3)
    _normalise[(triton.cdiv(count, _PIXELS),)](
        pixels, out, count, channels, width, eps,
        CENTRED=centred, PIXELS=_PIXELS, WIDTH=triton.next_power_of_2(width),
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@normalise.register_fake
def _(x, channels, centred, eps):
    return torch.empty_like(as_pixels(x)).permute(0, 3, 1, 2)


@triton.jit
def _dense_layer(
    parts, out, elements,
    WIDTHS: tl.constexpr, GROWTH: tl.constexpr, SLOPE: tl.constexpr,
    ELEMENTS: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    there = at < elements
    pixel, channel = at // GROWTH, at % GROWTH
    total = tl.zeros((ELEMENTS,), tl.float32)
    for i in tl.static_range(len(WIDTHS)):
        part = parts[i] + pixel * WIDTHS[i] + (len(WIDTHS) - 1 - i) * GROWTH + channel
        total += tl.load(part, mask=there, other=0.0).to(tl.float32)
    activated = tl.where(total < 0, SLOPE * total, total)
    tl.store(out + at, activated.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::dense_layer', mutates_args=())
def dense_layer(parts: list[Tensor], growth: int, slope: float) -> Tensor:
    """See :func:`fmanet_mm.ops.fused.dense_layer`."""
    rows = tuple(map(as_pixels, parts))
    out = rows[0].new_empty((*rows[0].shape[:3], growth))
    elements = out.numel()
    _dense_layer[(triton.cdiv(elements, _ELEMENTS),)](
        rows, out, elements, WIDTHS=tuple(x.size(3) for x in rows), GROWTH=growth,
        SLOPE=slope, ELEMENTS=_ELEMENTS,
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@dense_layer.register_fake
def _(parts, growth, slope):
    x = as_pixels(parts[0])
    return x.new_empty((*x.shape[:3], growth)).permute(0, 3, 1, 2)


@triton.jit
def _activated_sum(
    x, shared, other, out, elements, frame_elements, num_frames,
    SLOPE: tl.constexpr, ELEMENTS: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    there = at < elements
    window = at // (frame_elements * num_frames)
    of_shared = window * frame_elements + at % frame_elements
    value = tl.load(x + at, mask=there, other=0.0).to(tl.float32)
    value += tl.load(shared + of_shared, mask=there, other=0.0).to(tl.float32)
    if other is not None:
        value += tl.load(other + at, mask=there, other=0.0).to(tl.float32)
    activated = tl.where(value < 0, SLOPE * value, value)
    tl.store(out + at, activated.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::activated_sum', mutates_args=())
def activated_sum(
    x: Tensor, shared: Tensor, other: Tensor | None, slope: float
) -> Tensor:
    """See :func:`fmanet_mm.ops.fused.activated_sum`."""
    num_frames = x.size(1)
    x, shared = as_pixels(x.flatten(0, 1)), as_pixels(shared)
    other = None if other is None else as_pixels(other.flatten(0, 1))
    out = torch.empty_like(x)
    elements, frame_elements = x.numel(), shared.numel() // shared.size(0)
    _activated_sum[(triton.cdiv(elements, _ELEMENTS),)](
        x, shared, other, out, elements, frame_elements, num_frames,
        SLOPE=slope, ELEMENTS=_ELEMENTS,
    )  # fmt: skip
    return out.permute(0, 3, 1, 2).unflatten(0, (-1, num_frames))


@activated_sum.register_fake
def _(x, shared, other, slope):
    out = torch.empty_like(as_pixels(x.flatten(0, 1))).permute(0, 3, 1, 2)
    return out.unflatten(0, x.shape[:2])
