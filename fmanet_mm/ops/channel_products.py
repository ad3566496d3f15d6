"""Products of channels over all pixels, what attention over channels is made from."""

import torch
from torch import Tensor

from .precision import raised_precision

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
