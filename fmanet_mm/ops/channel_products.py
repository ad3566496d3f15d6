"""Products of channels over all pixels, what attention over channels is made from."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import at_least_float32, raised_precision, without_autocast

LEAST_LENGTH = 1e-12
"""Least length that a channel is divided by."""

_GPU_PARTS = 64
"""Parts that the pixels are split into on a GPU.

A matrix product with few rows and columns and a long inner side runs on one
multiprocessor; as a batch of parts, which are added up, it runs on all.
"""


def channel_products(
    query: Tensor, key: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """q k^T of every head, and the squared lengths of q and k.

    Args:
        query (Tensor): (N, C, H, W), C a multiple of the heads.
        key (Tensor): (N, C, H, W).
        num_heads (int): Heads, each of neighbouring channels.

    Returns:
        tuple[Tensor]: Products, (N, heads, C/heads, C/heads), and the squared lengths
        of the query's and of the key's channels, (N, C), at least float32.
    """
    if query.device.type == 'cuda':
        return products_by_parts(query, key, num_heads)
    with raised_precision(query, key) as (query, key):
        heads = [x.flatten(2).unflatten(1, (num_heads, -1)) for x in (query, key)]
        products = heads[0] @ heads[1].mT
        return products, query.square().sum((2, 3)), key.square().sum((2, 3))


def products_by_parts(
    query: Tensor, key: Tensor, num_heads: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Products of all pairs of channels, of which those within a head are taken."""
    query, key = (x.permute(0, 2, 3, 1).flatten(1, 2) for x in (query, key))
    products = _product(query, key).unflatten(1, (num_heads, -1))
    products = products.unflatten(3, (num_heads, -1)).diagonal(dim1=1, dim2=3)
    lengths = [_product(x, x).diagonal(dim1=1, dim2=2) for x in (query, key)]
    return products.movedim(-1, 1), *lengths


def _product(query: Tensor, key: Tensor) -> Tensor:
    """(N, P, C), (N, P, D) -> (N, C, D), summed over the pixels in float32."""
    each = query.size(1) // _GPU_PARTS
    split = [each * _GPU_PARTS, query.size(1) - each * _GPU_PARTS]
    (query, query_rest), (key, key_rest) = query.split(split, 1), key.split(split, 1)
    query, key = (
        x.unflatten(1, (_GPU_PARTS, each)).flatten(0, 1) for x in (query, key)
    )
    total = _matmul_float32(query.mT, key).unflatten(0, (-1, _GPU_PARTS)).sum(1)
    if query_rest.size(1):
        total = total + _matmul_float32(query_rest.mT, key_rest)
    return total


def _matmul_float32(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype in (torch.float32, torch.float64):
        return a @ b
    if a.is_cuda:
        # Products of half precision are exact in float32, in which tensor cores add.
        return torch.bmm(a, b, out_dtype=torch.float32)
    return a.float() @ b.float()


def cosines(
    products: Tensor, queries: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Divide products of channels by the lengths of both.

    Args:
        products (Tensor): q k^T of every head, (N, heads, C/heads, C/heads).
        queries (Tensor): Squared lengths of the query's channels, (N, heads, C/heads).
        keys (Tensor): Of the key's, likewise.

    Returns:
        tuple[Tensor]: The cosines, and what products were multiplied by: the inverse
        lengths of the query's channels, (N, heads, C/heads, 1), and of the key's,
        (N, heads, 1, C/heads).
    """
    inverse = [
        squares.clamp_min(LEAST_LENGTH**2).rsqrt() for squares in (queries, keys)
    ]
    inverse_q, inverse_k = inverse[0].unsqueeze(3), inverse[1].unsqueeze(2)
    return products * inverse_q * inverse_k, inverse_q, inverse_k


class ChannelCosines(torch.autograd.Function):
    """Cosines of the angles between channels of query and key, as pixels' sums.

    Keeps query and key for the gradients, as they are, and sums over all pixels as
    :func:`channel_products` does. With S the cosines, G their gradient, and the lengths
    of the rows of q and k,

        grad q = (G / |q||k|) k - (sum of G * S over keys) q / |q|^2

    and likewise for k. Where a length is 0, both terms are.

    Args (of ``apply``):
        query (Tensor): (N, C, H, W), C a multiple of the heads.
        key (Tensor): (N, C, H, W).
        num_heads (int): Heads, each of neighbouring channels.

    Returns:
        Tensor: (N, heads, C/heads, C/heads), at least float32.
    """

    @staticmethod
    def forward(ctx, query, key, num_heads):
        with without_autocast(query.device.type):
            products, *squares = channel_products(query, key, num_heads)
            heads = (x.unflatten(1, (num_heads, -1)) for x in squares)
            out, *inverse = cosines(products, *heads)
        ctx.save_for_backward(query, key, out, *inverse)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        query, key, out, inverse_q, inverse_k = ctx.saved_tensors
        to_products = _across_heads(grad * inverse_q * inverse_k)
        shared = grad * out
        own_q = shared.sum(3, keepdim=True) * inverse_q.square()
        own_k = shared.sum(2, keepdim=True) * inverse_k.square()
        return (
            combine_channels(key, to_products.mT, query, own_q),
            combine_channels(query, to_products, key, own_k),
            None,
        )


def _across_heads(products: Tensor) -> Tensor:
    """(N, heads, c, c) -> (N, C, C), zero outside of the heads."""
    n, heads, size, _ = products.shape
    whole = products.new_zeros((n, heads, size, heads, size))
    whole.diagonal(dim1=1, dim2=3).copy_(products.movedim(1, -1))
    return whole.flatten(3).flatten(1, 2)


def combine_channels(x: Tensor, matrix: Tensor, own: Tensor, factors: Tensor) -> Tensor:
    """Multiply the channels of x by matrices, less those of ``own`` times factors.

    In at least float32, but in bfloat16 on a GPU, whose tensor cores add in float32.

    Args:
        x (Tensor): (N, C, H, W).
        matrix (Tensor): (N, C, C).
        own (Tensor): (N, C, H, W).
        factors (Tensor): For each channel of ``own``, (N, C) in all.

    Returns:
        Tensor: (N, C, H, W), of the type of ``x``.
    """
    size, dtype = x.shape[2:], x.dtype
    if x.device.type != 'cuda' or dtype == torch.float16:
        x, own = map(at_least_float32, (x, own))
    pixels, own = (y.permute(0, 2, 3, 1).flatten(1, 2) for y in (x, own))
    less = own * factors.flatten(1).unsqueeze(1).to(own.dtype)
    out = torch.baddbmm(less, pixels, matrix.to(x.dtype), beta=-1).to(dtype)
    return out.unflatten(1, size).permute(0, 3, 1, 2)
