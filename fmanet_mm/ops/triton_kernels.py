"""Fused kernels for GPUs, in Triton.

Each is an operation of torch of its own, so that graphs and the cost model can follow
it, and equals the operations of torch that its docstring names but for rounding.
Nothing here is imported unless Triton is installed.
"""

from math import prod

import torch
import triton
import triton.language as tl
from torch import Tensor

WIDEST_HEAD = 32
"""Most channels of a head for :func:`channel_sums` and :func:`channel_mixing`.

The matrices of wider ones do not stay in registers.
"""

_PIXELS = 16
"""Pixels of a program that computes all channels of each."""

_ELEMENTS = 1024
"""Elements of a program that computes each on its own."""

_TILE = 16, 32
"""Pixels of a row, and channels of each, that a program convolves, row after row.

64 bytes are fast to read, and few pixels are read a second time by their neighbours.
"""

_TILE_ROWS = 16, 8
"""Rows that it convolves; the fewer, if there were not enough programs otherwise."""

_PROGRAMS = 1056
"""Programs that keep a large GPU busy: 8 for each of 132 multiprocessors."""

_PARTS = 128
"""Most parts that the pixels are split into where they are summed."""

_SUMMED_PIXELS = 64
"""Pixels that are multiplied at once."""

_SUMMED_NUMBERS = 8192
"""Numbers that are read at once where the parts are summed."""

_LEAST_SIZE = 16
"""Least rows and columns of a product on tensor cores."""

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
    return _empty_pixels(x, x.size(1)).permute(0, 3, 1, 2)


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
    return _empty_pixels(x, x.size(1) // 2).permute(0, 3, 1, 2)


def _convolve(x: Tensor, taps: Tensor, channels: int, gated: bool) -> Tensor:
    pixels = _dense_channels(x)
    out = _empty_pixels(x, channels)
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


def _empty_pixels(x: Tensor, channels: int) -> Tensor:
    """(N, C, H, W) -> (N, H, W, channels), of the same type."""
    count, _, height, width = x.shape
    return x.new_empty((count, height, width, channels))


@triton.jit
def _channel_sums(
    query, key, out, pixels, each, head,
    query_frame_stride, query_stride, key_frame_stride, key_stride,
    SIZE: tl.constexpr, PIXELS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    # The heads of the same pixels are neighbours, and are so in the caches.
    first = tl.program_id(1) * each
    frame = tl.program_id(2).to(tl.int64)
    channel = tl.arange(0, SIZE)[None, :]
    start = tl.program_id(0) * head + channel
    query += frame * query_frame_stride + first.to(tl.int64) * query_stride
    key += frame * key_frame_stride + first.to(tl.int64) * key_stride
    products = tl.zeros((SIZE, SIZE), tl.float32)
    queries = tl.zeros((PIXELS, SIZE), tl.float32)
    keys = queries
    count = tl.minimum(each, pixels - first)
    for begin in range(0, count, PIXELS):
        pixel = begin + tl.arange(0, PIXELS)[:, None]
        there = (pixel < count) & (channel < head)
        q = tl.load(query + pixel * query_stride + start, mask=there, other=0.0)
        k = tl.load(key + pixel * key_stride + start, mask=there, other=0.0)
        # Half precision is exact in TF32, as are its products in float32.
        q, k = q.to(tl.float32), k.to(tl.float32)
        products += tl.dot(tl.trans(q), k, input_precision=PRECISION)
        queries += q * q
        keys += k * k
    program = (frame * tl.num_programs(1) + tl.program_id(1)) * tl.num_programs(0)
    out += (program + tl.program_id(0)) * SIZE * (SIZE + 2)
    column = tl.arange(0, SIZE)
    tl.store(out + column[:, None] * SIZE + column[None, :], products)
    tl.store(out + SIZE * SIZE + column, tl.sum(queries, 0))
    tl.store(out + SIZE * (SIZE + 1) + column, tl.sum(keys, 0))


@torch.library.custom_op('fmanet_mm::channel_sums', mutates_args=())
def channel_sums(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """The sums that attention over channels is made from, of parts of the pixels.

    Summed over the parts, :func:`~fmanet_mm.ops.channel_products.channel_products`.

    Args:
        query (Tensor): (N, C, H, W), float32 or half precision, C a multiple of the
            heads.
        key (Tensor): (N, C, H, W).
        heads (int): Heads, each of neighbouring channels, at most :data:`WIDEST_HEAD`.

    Returns:
        Tensor: (N, parts, heads, S + 2, S) in float32, S at least C/heads: products,
        query by key channel, and a row of squared lengths of the query's and one of
        the key's channels. What belongs to no channel is zero.
    """
    query, key = _dense_pixels(query), _dense_pixels(key)
    out = _empty_sums(query, heads)
    count, parts, _, _, size = out.shape
    pixels = query.size(1)
    precise = query.dtype == torch.float32 and not torch.backends.cuda.matmul.allow_tf32
    _channel_sums[(heads, parts, count)](
        query, key, out, pixels, _pixels_of_part(pixels), query.size(2) // heads,
        *query.stride()[:2], *key.stride()[:2], SIZE=size, PIXELS=_SUMMED_PIXELS,
        PRECISION='ieee' if precise else 'tf32', num_warps=size // _LEAST_SIZE,
    )  # fmt: skip
    return out


@channel_sums.register_fake
def _(query, key, heads):
    return _empty_sums(query.permute(0, 2, 3, 1).flatten(1, 2), heads)


def _empty_sums(query: Tensor, heads: int) -> Tensor:
    count, pixels, channels = query.shape
    parts = triton.cdiv(pixels, _pixels_of_part(pixels))
    size = max(_LEAST_SIZE, triton.next_power_of_2(channels // heads))
    shape = count, parts, heads, size + 2, size
    return query.new_empty(shape, dtype=torch.float32)


def _pixels_of_part(pixels: int) -> int:
    return triton.cdiv(pixels, _SUMMED_PIXELS * _PARTS) * _SUMMED_PIXELS


@triton.jit
def _channel_mixing(
    sums, temperature, project, out, parts, heads, head, width, least_square,
    SIZE: tl.constexpr, WIDTH: tl.constexpr, PARTS: tl.constexpr,
):  # fmt: skip
    number, frame = tl.program_id(0), tl.program_id(1).to(tl.int64)
    exists = number < heads
    sums += (frame * parts * heads + number) * SIZE * (SIZE + 2)
    row, column = tl.arange(0, SIZE), tl.arange(0, SIZE)
    square = row[:, None] * SIZE + column[None, :]
    products = tl.zeros((PARTS, SIZE, SIZE), tl.float32)
    queries = tl.zeros((PARTS, SIZE), tl.float32)
    keys = queries
    for begin in range(0, parts, PARTS):
        part = begin + tl.arange(0, PARTS)
        there = (part < parts) & exists
        part = sums + part * heads * SIZE * (SIZE + 2)
        products += tl.load(
            part[:, None, None] + square[None, :, :],
            mask=there[:, None, None], other=0.0,
        )  # fmt: skip
        lengths = part[:, None] + SIZE * SIZE + column[None, :]
        queries += tl.load(lengths, mask=there[:, None], other=0.0)
        keys += tl.load(lengths + SIZE, mask=there[:, None], other=0.0)
    queries = tl.sqrt(tl.maximum(tl.sum(queries, 0), least_square))
    keys = tl.sqrt(tl.maximum(tl.sum(keys, 0), least_square))
    logits = tl.sum(products, 0) / (queries[:, None] * keys[None, :])
    logits *= tl.load(temperature + number, mask=exists, other=0.0).to(tl.float32)
    logits = tl.where(column[None, :] < head, logits, float('-inf'))
    attention = tl.exp(logits - tl.max(logits, 1)[:, None])
    attention /= tl.sum(attention, 1)[:, None]
    output = tl.arange(0, WIDTH)[:, None]
    channels = heads * head
    real = (output < channels) & (column[None, :] < head) & exists
    project += output * channels + number * head + column[None, :]
    weight = tl.load(project, mask=real, other=0.0).to(tl.float32)
    mixing = tl.dot(weight, attention, input_precision='ieee')
    value = number * head + column[None, :]
    real = (output < width) & (column[None, :] < head) & (value < width)
    to = out + (frame * width + output) * width + value
    tl.store(to, mixing.to(out.dtype.element_ty), mask=real)


@torch.library.custom_op('fmanet_mm::channel_mixing', mutates_args=())
def channel_mixing(
    sums: Tensor,
    temperature: Tensor,
    project_out: Tensor,
    width: int,
    least_length: float,
) -> Tensor:
    """Attention over channels and output projection as one matrix.

    :func:`~fmanet_mm.models.common.multi_attention.channel_mixing` of the sums of
    parts, rounded once.

    Args:
        sums (Tensor): See :func:`channel_sums`.
        temperature (Tensor): Factor of every head's logits, (heads, 1, 1).
        project_out (Tensor): Weight of the output projection, (C, C).
        width (int): C + zero channels.
        least_length (float): Least length that a channel is divided by.

    Returns:
        Tensor: (N, C + zero channels, C + zero channels), output channel by value
        channel, of the type of ``project_out``.
    """
    count, parts, heads, _, size = sums.shape
    head = project_out.size(1) // heads
    out = project_out.new_empty((count, width, width))
    _channel_mixing[(triton.cdiv(width, head), count)](
        sums, temperature, project_out, out, parts, heads, head, width,
        least_length**2, SIZE=size, PARTS=_SUMMED_NUMBERS // size**2, num_warps=8,
        WIDTH=max(_LEAST_SIZE, triton.next_power_of_2(width)),
    )  # fmt: skip
    return out


@channel_mixing.register_fake
def _(sums, temperature, project_out, width, least_length):
    return project_out.new_empty((sums.size(0), width, width))


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


def _dense_channels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), the channels of a pixel next to each other."""
    pixels = x.permute(0, 2, 3, 1)
    return pixels if pixels.stride(3) == 1 else pixels.contiguous()


def _dense_pixels(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H * W, C), the channels of a pixel next to each other."""
    return _dense_channels(x).flatten(1, 2)


def try_kernels(device: torch.device) -> None:
    """Compile and start those that ask most of Triton, on a few numbers."""
    x = torch.ones(1, 2, 1, 1, device=device, dtype=torch.float16)
    gated_depthwise(x, x.new_ones(9, 2))
    one = x.new_ones(1, 1, 1)
    channel_mixing(channel_sums(x, x, 1), one, x.new_ones(2, 2), 2, 1e-12)
    fuse_channels([x], x.new_ones(1, 2), None, None)
