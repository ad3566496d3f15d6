"""1x1 convolutions of features side by side."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import as_pixels

_PRODUCT_PIXELS = 64
"""Pixels of a program that multiplies matrices."""

_PRODUCT_STEP = 32
"""Channels that it multiplies at a time."""


@triton.jit
def _fuse_channels(
    inputs, weight, bias, plus, out, pixels,
    WIDTHS: tl.constexpr, IN_WIDTH: tl.constexpr, OUT_WIDTH: tl.constexpr,
    PIXELS: tl.constexpr, STEP: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    step = tl.arange(0, STEP)
    total = tl.zeros((PIXELS, WIDTH), tl.float32)
    weights = weight + channel * IN_WIDTH
    for i in tl.static_range(len(WIDTHS)):
        for begin in tl.static_range(0, WIDTHS[i], STEP):
            of_x, of_weight = (begin + step)[None, :], (begin + step)[:, None]
            x = tl.load(
                inputs[i] + pixel * WIDTHS[i] + of_x,
                mask=(pixel < pixels) & (of_x < WIDTHS[i]), other=0.0,
            )  # fmt: skip
            factor = tl.load(
                weights + of_weight,
                mask=(channel < OUT_WIDTH) & (of_weight < WIDTHS[i]), other=0.0,
            )  # fmt: skip
            total = tl.dot(x, factor, total, input_precision='ieee')
        weights += WIDTHS[i]
    there = (pixel < pixels) & (channel < OUT_WIDTH)
    at = pixel * OUT_WIDTH + channel
    if bias is not None:
        total += tl.load(bias + channel, mask=channel < OUT_WIDTH, other=0.0)
    if plus is not None:
        total += tl.load(plus + at, mask=there, other=0.0)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=there)


@torch.library.custom_op('fmanet_mm::fuse_channels', mutates_args=())
def fuse_channels(
    inputs: list[Tensor], weight: Tensor, bias: Tensor | None, plus: Tensor | None
) -> Tensor:
    """A 1x1 convolution of features side by side, which are never put side by side.

    Args:
        inputs (list[Tensor]): Each (N, C_i, H, W), of one type.
        weight (Tensor): (C_out, sum of all C_i).
        bias (Tensor, optional): (C_out,).
        plus (Tensor, optional): (N, C_out, H, W), which is added.

    Returns:
        Tensor: (N, C_out, H, W), of the type of ``plus``, or else of the inputs;
        rounded once.
    """
    inputs = tuple(map(as_pixels, inputs))
    bias = None if bias is None else bias.contiguous()
    plus = None if plus is None else as_pixels(plus)
    out = _fused_rows(inputs[0], weight, plus)
    pixels = inputs[0].numel() // inputs[0].size(3)
    _fuse_channels[(triton.cdiv(pixels, _PRODUCT_PIXELS),)](
        inputs, weight.contiguous(), bias, plus, out, pixels,
        WIDTHS=tuple(x.size(3) for x in inputs), IN_WIDTH=weight.size(1),
        OUT_WIDTH=weight.size(0), PIXELS=_PRODUCT_PIXELS, STEP=_PRODUCT_STEP,
        WIDTH=max(16, triton.next_power_of_2(weight.size(0))),
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@fuse_channels.register_fake
def _(inputs, weight, bias, plus):
    return _fused_rows(as_pixels(inputs[0]), weight, plus).permute(0, 3, 1, 2)


def _fused_rows(x: Tensor, weight: Tensor, plus: Tensor | None) -> Tensor:
    size = *x.shape[:3], weight.size(0)
    return x.new_empty(size, dtype=None if plus is None else plus.dtype)
