import pytest
import torch

from fmanet_mm.ops.channel_products import channel_products, products_by_parts


def plain(query, key, num_heads):
    n, c = query.shape[:2]
    heads = (n, num_heads, c // num_heads, -1)
    products = torch.einsum('nhip,nhjp->nhij', query.reshape(heads), key.reshape(heads))
    return products, *(x.pow(2).sum((2, 3)) for x in (query, key))


@pytest.fixture(params=['CPU', 'GPU'])
def products(request):
    if request.param == 'CPU':
        return channel_products
    return products_by_parts


@pytest.mark.parametrize('size', [(3, 5), (8, 8), (9, 15), (64, 3)])
def test_equals_the_formula(products, size):
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 2, 12, *size, generator=generator, dtype=torch.float64)
    given = products(query, key, 3)
    for part, expected in zip(given, plain(query, key, 3), strict=True):
        torch.testing.assert_close(part, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_float32(products, dtype):
    """2,000 equal products; a sum in half precision would stop growing."""
    query = torch.full((1, 2, 40, 50), 1.5, dtype=dtype)
    given, queries, _ = products(query, query, 1)
    assert given.dtype == queries.dtype == torch.float32
    assert given.unique().tolist() == queries.unique().tolist() == [4500.0]
