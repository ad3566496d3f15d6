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

_PRODUCT_PIXELS = 64
"""Pixels of a program that multiplies matrices."""

_PRODUCT_STEP = 32
"""Channels that it multiplies at a time."""


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
    rows = tuple(map(_rows, parts))
    out = rows[0].new_empty((*rows[0].shape[:3], growth))
    elements = out.numel()
    _dense_layer[(triton.cdiv(elements, _ELEMENTS),)](
        rows, out, elements, WIDTHS=tuple(x.size(3) for x in rows), GROWTH=growth,
        SLOPE=slope, ELEMENTS=_ELEMENTS,
    )  # fmt: skip
    return out.permute(0, 3, 1, 2)


@dense_layer.register_fake
def _(parts, growth, slope):
    x = _rows(parts[0])
    return x.new_empty((*x.shape[:3], growth)).permute(0, 3, 1, 2)


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
    inputs = tuple(map(_rows, inputs))
    bias = None if bias is None else bias.contiguous()
    plus = None if plus is None else _rows(plus)
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
    return _fused_rows(_rows(inputs[0]), weight, plus).permute(0, 3, 1, 2)


def _fused_rows(x: Tensor, weight: Tensor, plus: Tensor | None) -> Tensor:
    size = *x.shape[:3], weight.size(0)
    return x.new_empty(size, dtype=None if plus is None else plus.dtype)


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
    x, shared = _rows(x.flatten(0, 1)), _rows(shared)
    other = None if other is None else _rows(other.flatten(0, 1))
    out = torch.empty_like(x)
    elements, frame_elements = x.numel(), shared.numel() // shared.size(0)
    _activated_sum[(triton.cdiv(elements, _ELEMENTS),)](
        x, shared, other, out, elements, frame_elements, num_frames,
        SLOPE=slope, ELEMENTS=_ELEMENTS,
    )  # fmt: skip
    return out.permute(0, 3, 1, 2).unflatten(0, (-1, num_frames))


@activated_sum.register_fake
def _(x, shared, other, slope):
    out = torch.empty_like(_rows(x.flatten(0, 1))).permute(0, 3, 1, 2)
    return out.unflatten(0, x.shape[:2])


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
        frames.contiguous(), _rows(kernels.flatten(0, 1)), out,
        num_frames, height, columns, SIZE=kernel_size, SCALE=scale, PIXELS=_PIXELS,
        FILTERS=triton.next_power_of_2(scale**2),
    )  # fmt: skip
    return out


@dynamic_upsample.register_fake
def _(frames, kernels, kernel_size, scale):
    _rows(kernels.flatten(0, 1))
    return _upsampled(frames, scale)


def _upsampled(frames: Tensor, scale: int) -> Tensor:
    """Memory for what frames, (N, T, 3, H, W), become."""
    count, _, _, height, columns = frames.shape
    size = count, 3, scale * height, scale * columns
    return frames.new_empty(size, dtype=torch.float32)


def _rows(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), contiguous: no copy of what is channels last."""
    return x.permute(0, 2, 3, 1).contiguous()
