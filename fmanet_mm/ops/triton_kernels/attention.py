"""Attention over channels."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .layout import dense_pixels

WIDEST_HEAD = 32
"""Most channels of a head for :func:`channel_sums` and :func:`channel_mixing`.

The matrices of wider ones do not stay in registers.
"""

_PARTS = 128
"""Most parts that the pixels are split into where they are summed."""

_SUMMED_PIXELS = 64
"""Pixels that are multiplied at once."""

_SUMMED_NUMBERS = 8192
"""Numbers that are read at once where the parts are summed."""

_LEAST_SIZE = 16
"""Least rows and columns of a product on tensor cores."""


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
    query, key = dense_pixels(query), dense_pixels(key)
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
