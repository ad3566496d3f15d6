"""Fused kernels for training on GPUs, in Triton: operations and their gradients.

Each is an operation of torch of its own, so that the cost model can follow it, and
computes in float32 between what it reads and what it writes. Features are pixels,
(N, H, W, C). Nothing here is imported unless Triton is installed.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .attention import channel_sums
from .elementwise import centre
from .warp import find_corner

_PIXELS = 16
"""Pixels that a program computes at a time."""

_ROUNDS = 8
"""How often a program does so for gradients, which it adds up over its pixels."""

_ELEMENTS = 1024
"""Elements of a program that computes each on its own."""

_WARPED_PIXELS = 64
"""Pixels of a program that computes the gradients of a warp of one group."""


@triton.jit
def _norm(
    x, weight, bias, out, pixels, channels, width, eps,
    CENTRED: tl.constexpr, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    pixel = tl.program_id(0).to(tl.int64) * PIXELS + tl.arange(0, PIXELS)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    there = (pixel < pixels) & (channel < width)
    real = there & (channel < channels)
    at = pixel * width + channel
    value = tl.load(x + at, mask=real, other=0.0).to(tl.float32)
    gain = tl.load(weight + channel, mask=channel < channels, other=0.0).to(tl.float32)
    centred, variance = centre(value, real, channels)
    scaled = gain * tl.rsqrt(variance + eps)
    if CENTRED:
        offset = tl.load(bias + channel, mask=channel < channels, other=0.0)
        result = centred * scaled + offset.to(tl.float32)
    else:
        result = value * scaled
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there)


@triton.jit
def _norm_gradients(
    grad, x, weight, grad_x, sums, pixels, channels, width, eps,
    CENTRED: tl.constexpr, PIXELS: tl.constexpr, ROUNDS: tl.constexpr,
    WIDTH: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, WIDTH)[None, :]
    gain = tl.load(weight + channel, mask=channel < channels, other=0.0).to(tl.float32)
    of_weight = tl.zeros((1, WIDTH), tl.float32)
    of_bias = tl.zeros((1, WIDTH), tl.float32)
    for i in range(ROUNDS):
        pixel = (program * ROUNDS + i) * PIXELS + tl.arange(0, PIXELS)[:, None]
        there = (pixel < pixels) & (channel < width)
        real = there & (channel < channels)
        at = pixel * width + channel
        value = tl.load(x + at, mask=real, other=0.0).to(tl.float32)
        g = tl.load(grad + at, mask=real, other=0.0).to(tl.float32)
        centred, variance = centre(value, real, channels)
        inverse = tl.rsqrt(variance + eps)
        normalised = (centred if CENTRED else value) * inverse
        scaled = g * gain
        along = tl.sum(scaled * normalised, 1, keep_dims=True) / channels
        result = scaled - centred * inverse * along
        if CENTRED:
            result -= tl.sum(scaled, 1, keep_dims=True) / channels
        result = tl.where(real, result * inverse, 0.0)
        tl.store(grad_x + at, result.to(grad_x.dtype.element_ty), mask=there)
        of_weight += tl.sum(g * normalised, 0, keep_dims=True)
        of_bias += tl.sum(g, 0, keep_dims=True)
    there = channel < channels
    to = sums + 2 * program * channels + channel
    tl.store(to, of_weight, mask=there)
    tl.store(to + channels, of_bias, mask=there)


@torch.library.custom_op('fmanet_mm::channel_norm', mutates_args=())
def channel_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """Normalise pixels, (N, H, W, C + zero channels), by gains and offsets, (C,).

    Without ``bias`` they are not centred. The zero channels are still zero.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    channels, width = weight.size(0), x.size(3)
    pixels = x.numel() // width
    _norm[(triton.cdiv(pixels, _PIXELS),)](
        x, weight, weight if bias is None else bias, out, pixels, channels, width, eps,
        CENTRED=bias is not None, PIXELS=_PIXELS, WIDTH=triton.next_power_of_2(width),
    )  # fmt: skip
    return out


@channel_norm.register_fake
def _(x, weight, bias, eps):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op('fmanet_mm::channel_norm_backward', mutates_args=())
def channel_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, centred: bool, eps: float
) -> tuple[Tensor, Tensor]:
    """Gradients of :func:`channel_norm`.

    Returns:
        tuple[Tensor]: Of ``x``, and of weight and bias what each program adds to them,
        (programs, 2, C).
    """
    grad, x = grad.contiguous(), x.contiguous()
    channels, width = weight.size(0), x.size(3)
    pixels = x.numel() // width
    programs = triton.cdiv(pixels, _PIXELS * _ROUNDS)
    grad_x = torch.empty_like(x)
    sums = x.new_empty((programs, 2, channels), dtype=torch.float32)
    _norm_gradients[(programs,)](
        grad, x, weight, grad_x, sums, pixels, channels, width, eps,
        CENTRED=centred, PIXELS=_PIXELS, ROUNDS=_ROUNDS,
        WIDTH=triton.next_power_of_2(width),
    )  # fmt: skip
    return grad_x, sums


@channel_norm_backward.register_fake
def _(grad, x, weight, centred, eps):
    programs = -(-(x.numel() // x.size(3)) // (_PIXELS * _ROUNDS))
    return (
        torch.empty_like(x, memory_format=torch.contiguous_format),
        x.new_empty((programs, 2, weight.size(0)), dtype=torch.float32),
    )


@triton.jit
def _gate(hidden, out, elements, channels, ELEMENTS: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    there = at < elements
    from_gate = at // channels * (2 * channels) + at % channels
    x = tl.load(hidden + from_gate, mask=there, other=0.0).to(tl.float32)
    y = tl.load(hidden + from_gate + channels, mask=there, other=0.0).to(tl.float32)
    result = 0.5 * x * (1 + tl.erf(x * 0.7071067811865476)) * y
    tl.store(out + at, result.to(out.dtype.element_ty), mask=there)


@triton.jit
def _gate_gradients(
    grad, hidden, grad_hidden, elements, channels, ELEMENTS: tl.constexpr
):
    at = tl.program_id(0).to(tl.int64) * ELEMENTS + tl.arange(0, ELEMENTS)
    there = at < elements
    from_gate = at // channels * (2 * channels) + at % channels
    x = tl.load(hidden + from_gate, mask=there, other=0.0).to(tl.float32)
    y = tl.load(hidden + from_gate + channels, mask=there, other=0.0).to(tl.float32)
    g = tl.load(grad + at, mask=there, other=0.0).to(tl.float32)
    below = 0.5 * (1 + tl.erf(x * 0.7071067811865476))
    density = 0.3989422804014327 * tl.exp(-0.5 * x * x)
    of_gate, of_value = g * y * (below + x * density), g * x * below
    kind = grad_hidden.dtype.element_ty
    tl.store(grad_hidden + from_gate, of_gate.to(kind), mask=there)
    tl.store(grad_hidden + from_gate + channels, of_value.to(kind), mask=there)


@torch.library.custom_op('fmanet_mm::gate', mutates_args=())
def gate(hidden: Tensor) -> Tensor:
    """``gelu`` of the first half of the channels times the second half."""
    hidden = hidden.contiguous()
    channels = hidden.size(3) // 2
    out = hidden.new_empty((*hidden.shape[:3], channels))
    elements = out.numel()
    _gate[(triton.cdiv(elements, _ELEMENTS),)](
        hidden, out, elements, channels, ELEMENTS=_ELEMENTS
    )
    return out


@gate.register_fake
def _(hidden):
    return hidden.new_empty((*hidden.shape[:3], hidden.size(3) // 2))


@torch.library.custom_op('fmanet_mm::gate_backward', mutates_args=())
def gate_backward(grad: Tensor, hidden: Tensor) -> Tensor:
    """The gradient of :func:`gate`."""
    grad, hidden = grad.contiguous(), hidden.contiguous()
    out = torch.empty_like(hidden)
    elements = grad.numel()
    _gate_gradients[(triton.cdiv(elements, _ELEMENTS),)](
        grad, hidden, out, elements, grad.size(3), ELEMENTS=_ELEMENTS
    )
    return out


@gate_backward.register_fake
def _(grad, hidden):
    return torch.empty_like(hidden, memory_format=torch.contiguous_format)


@triton.jit
def _warp_gradients(
    grad, x, flow_masks, grad_x, grad_flow_masks, height, columns, channels,
    group_size, groups, PIXELS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    frame = tl.program_id(1).to(tl.int64)
    group = tl.program_id(2)
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)[:, None]
    member = tl.arange(0, WIDTH)[None, :]
    inside_frame = pixel < height * columns
    there = inside_frame & (member < group_size)
    row, column = pixel // columns, pixel % columns
    area = height * columns
    pair = flow_masks + (frame * groups + group) * 3 * area + pixel
    flow_x = tl.load(pair, mask=inside_frame, other=0.0).to(tl.float32)
    flow_y = tl.load(pair + area, mask=inside_frame, other=0.0).to(tl.float32)
    logit = tl.load(pair + 2 * area, mask=inside_frame, other=0.0).to(tl.float32)
    weight = tl.sigmoid(logit)
    from_x, from_y = column + flow_x, row + flow_y
    channel = group * group_size + member
    start = frame * area * channels + channel
    g = tl.load(grad + start + pixel.to(tl.int64) * channels, mask=there, other=0.0)
    g = g.to(tl.float32)
    sampled = tl.zeros((PIXELS, WIDTH), tl.float32)
    along_x = tl.zeros((PIXELS, WIDTH), tl.float32)
    along_y = tl.zeros((PIXELS, WIDTH), tl.float32)
    for corner in tl.static_range(4):
        position, inside, weight_x, weight_y = find_corner(
            from_x, from_y, corner, there, height, columns
        )
        at = start + position * channels
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        sampled += value * (weight_x * weight_y)
        along_x += (value if corner % 2 else -value) * weight_y
        along_y += (value if corner // 2 else -value) * weight_x
        tl.atomic_add(grad_x + at, g * weight * (weight_x * weight_y), mask=inside)
    to = grad_flow_masks + (frame * groups + group) * 3 * area + pixel
    weighed = g * weight
    of_x = tl.sum(weighed * along_x, 1, keep_dims=True)
    of_y = tl.sum(weighed * along_y, 1, keep_dims=True)
    of_logit = tl.sum(weighed * sampled, 1, keep_dims=True) * (1 - weight)
    tl.store(to, of_x, mask=inside_frame)
    tl.store(to + area, of_y, mask=inside_frame)
    tl.store(to + 2 * area, of_logit, mask=inside_frame)


@torch.library.custom_op('fmanet_mm::warp_channels_backward', mutates_args=())
def warp_channels_backward(
    grad: Tensor, x: Tensor, flow_masks: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of a multi-flow warp of all rows of a frame.

    Args:
        grad (Tensor): Of the result, (N, H, W, C).
        x (Tensor): Features, (N, H, W, C).
        flow_masks (Tensor): n flow-mask pairs side by side, (N, 3n, H, W).

    Returns:
        tuple[Tensor]: Of ``x`` and of ``flow_masks``, float32.
    """
    grad, x, flow_masks = grad.contiguous(), x.contiguous(), flow_masks.contiguous()
    count, height, columns, channels = x.shape
    groups = flow_masks.size(1) // 3
    grad_x = torch.zeros_like(x, dtype=torch.float32)
    grad_flow_masks = torch.empty_like(flow_masks, dtype=torch.float32)
    programs = triton.cdiv(height * columns, _WARPED_PIXELS)
    _warp_gradients[(programs, count, groups)](
        grad, x, flow_masks, grad_x, grad_flow_masks, height, columns, channels,
        channels // groups, groups,
        PIXELS=_WARPED_PIXELS, WIDTH=triton.next_power_of_2(channels // groups),
    )  # fmt: skip
    return grad_x, grad_flow_masks


@warp_channels_backward.register_fake
def _(grad, x, flow_masks):
    return (
        torch.empty_like(x, dtype=torch.float32, memory_format=torch.contiguous_format),
        torch.empty_like(
            flow_masks, dtype=torch.float32, memory_format=torch.contiguous_format
        ),
    )


@triton.jit
def _mixing_gradients(
    grad, sums, temperature, project,
    of_products, own_q, own_k, of_temperature, of_project,
    channels, width, head, heads, least_square, SIZE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    number, frame = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, column = tl.arange(0, SIZE)[:, None], tl.arange(0, SIZE)[None, :]
    there = (row < head) & (column < head)
    sums += (frame * heads + number) * SIZE * (SIZE + 2)
    square_q = tl.maximum(tl.load(sums + SIZE * SIZE + row), least_square)
    square_k = tl.maximum(tl.load(sums + SIZE * (SIZE + 1) + column), least_square)
    lengths = tl.sqrt(square_q) * tl.sqrt(square_k)
    cosines = tl.load(sums + row * SIZE + column) / lengths
    factor = tl.load(temperature + number).to(tl.float32)
    logits = tl.where(column < head, cosines * factor, float('-inf'))
    attention = tl.exp(logits - tl.max(logits, 1, keep_dims=True))
    attention = attention / tl.sum(attention, 1, keep_dims=True)
    attention = tl.where(there, attention, 0.0)
    value = number * head + column
    output = tl.arange(0, WIDTH)[:, None]
    real = (output < channels) & (column < head)
    weight = tl.load(project + output * channels + value, mask=real, other=0.0)
    g = tl.load(grad + (frame * width + output) * width + value, mask=real, other=0.0)
    weight, g = weight.to(tl.float32), g.to(tl.float32)
    shares = tl.dot(g, tl.trans(attention), input_precision='ieee')
    to = of_project + (frame * channels + output) * channels + value
    tl.store(to, shares, mask=real)
    of_attention = tl.dot(tl.trans(weight), g, input_precision='ieee')
    along = tl.sum(of_attention * attention, 1, keep_dims=True)
    of_logits = attention * (of_attention - along)
    total = tl.sum(tl.sum(of_logits * cosines, 1), 0)
    tl.store(of_temperature + frame * heads + number, total)
    of_cosines = of_logits * factor
    begin = frame * width + number * head
    kind = of_products.dtype.element_ty
    to = of_products + (begin + row) * width + value
    tl.store(to, (of_cosines / lengths).to(kind), mask=there)
    shared = of_cosines * cosines
    of_q = tl.sum(shared, 1, keep_dims=True) / square_q
    of_k = tl.sum(shared, 0, keep_dims=True) / square_k
    tl.store(own_q + begin + row, of_q.to(kind), mask=row < head)
    tl.store(own_k + begin + column, of_k.to(kind), mask=column < head)


@torch.library.custom_op('fmanet_mm::channel_mixing_backward', mutates_args=())
def channel_mixing_backward(
    grad: Tensor, sums: Tensor, temperature: Tensor, project_out: Tensor,
    least_length: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of :func:`~fmanet_mm.ops.triton_kernels.channel_mixing`.

    Args:
        grad (Tensor): Of its result, (N, C + zero channels, C + zero channels).
        sums (Tensor): Over all parts of the pixels, (N, heads, S + 2, S).
        temperature (Tensor): Factor of every head's logits, (heads, 1, 1).
        project_out (Tensor): Weight of the output projection, (C, C).
        least_length (float): Least length that a channel is divided by.

    Returns:
        tuple[Tensor]: The matrix of the channels' products by which the key is
        multiplied for the query's gradient, and the query for the key's, of the shape
        of ``grad``; factors of query and key that are subtracted, (N, C + ...); and of
        temperature, (N, heads), and projection, (N, C, C), what each of the N adds.
    """
    grad, project_out = grad.contiguous(), project_out.contiguous()
    count, heads, _, size = sums.shape
    channels, width = project_out.size(0), grad.size(1)
    of_products = torch.zeros_like(grad)
    own_q, own_k = (grad.new_zeros((count, width)) for _ in range(2))
    of_temperature = sums.new_empty((count, heads))
    of_project = sums.new_empty((count, channels, channels))
    _mixing_gradients[(heads, count)](
        grad, sums, temperature, project_out,
        of_products, own_q, own_k, of_temperature, of_project,
        channels, width, channels // heads, heads, least_length**2,
        SIZE=size, WIDTH=max(16, triton.next_power_of_2(channels)),
    )  # fmt: skip
    return of_products, own_q, own_k, of_temperature, of_project


@channel_mixing_backward.register_fake
def _(grad, sums, temperature, project_out, least_length):
    count, heads = sums.shape[:2]
    channels, width = project_out.size(0), grad.size(1)
    return (
        torch.empty_like(grad, memory_format=torch.contiguous_format),
        grad.new_empty((count, width)),
        grad.new_empty((count, width)),
        sums.new_empty((count, heads)),
        sums.new_empty((count, channels, channels)),
    )


def try_kernels(device: torch.device) -> None:
    """Compile and start those of gradients, on a few numbers."""
    x = torch.ones(1, 1, 1, 2, device=device, dtype=torch.float16)
    weight = torch.ones(2, device=device)
    normalised = channel_norm(x, weight, weight, 1e-5)
    channel_norm_backward(normalised, x, weight, True, 1e-5)
    gate_backward(gate(x), x)
    warp_channels_backward(x, x, x.new_ones(1, 3, 1, 1))
    images = x.permute(0, 3, 1, 2)
    sums = channel_sums(images, images, 1).sum(1)
    matrix = torch.ones(2, 2, device=device)
    channel_mixing_backward(
        matrix.unsqueeze(0), sums, weight[:1].view(1, 1, 1), matrix, 1e-12
    )
