import pytest
import torch

from fmanet_mm.ops.channel_products import (
    ChannelCosines,
    channel_products,
    products_by_parts,
)


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


def normalised_products(query, key, num_heads):
    query, key = (
        torch.nn.functional.normalize(
            x.flatten(2).unflatten(1, (num_heads, -1)), dim=-1
        )
        for x in (query, key)
    )
    return query @ key.mT


def test_cosines_and_their_gradients():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 2, 6, 4, 3, generator=generator, dtype=torch.float64)
    query, key = query.requires_grad_(), key.requires_grad_()
    expected = normalised_products(query, key, 2)
    given = ChannelCosines.apply(query, key, 2)
    torch.testing.assert_close(given, expected, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda query, key: ChannelCosines.apply(query, key, 2), (query, key)
    )


def test_cosines_of_channels_of_length_zero():
    query = torch.zeros(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    key = torch.ones(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    cosines = ChannelCosines.apply(query, key, 1)
    assert not cosines.any()
    cosines.sum().backward()
    assert not key.grad.any() and query.grad.isfinite().all()


def test_gradients_of_cosines_in_half_precision():
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, 1, 6, 5, 4, generator=generator).bfloat16()
    query, key = query.requires_grad_(), key.requires_grad_()
    exact = [x.detach().double().requires_grad_() for x in (query, key)]
    grad = torch.randn(1, 2, 3, 3, generator=generator)
    with torch.autocast('cpu', torch.bfloat16):
        cosines = ChannelCosines.apply(query, key, 2)
    assert cosines.dtype == torch.float32
    given = torch.autograd.grad(cosines, (query, key), grad)
    expected = torch.autograd.grad(normalised_products(*exact, 2), exact, grad.double())
    for ours, reference in zip(given, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.double(), reference, rtol=0.01, atol=0.003)
