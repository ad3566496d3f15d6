import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.ops import modulated_deform_conv


def inputs(groups=2, size=3):
    """A feature, offsets that reach outside, masks, weight and bias, float64."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    taps = size**2
    return (
        randn(2, 4, 5, 7),
        3 * randn(2, groups, taps, 2, 5, 7),
        randn(2, groups, taps, 5, 7).sigmoid(),
        randn(6, 4, size, size),
        randn(6),
    )


def torchvisions(x, offset, mask, weight, bias):
    padding = weight.size(-1) // 2
    return pytest.importorskip('torchvision').ops.deform_conv2d(
        x, offset.flatten(1, 3), weight, bias, padding=padding, mask=mask.flatten(1, 2)
    )


def test_values_and_gradients_are_torchvisions():
    for size in (1, 3, 5):
        results = []
        for function in (modulated_deform_conv, torchvisions):
            tensors = [x.requires_grad_() for x in inputs(size=size)]
            out = function(*tensors)
            out.square().sum().backward()
            results.append([out, *(x.grad for x in tensors)])
        torch.testing.assert_close(*results)


def test_taps_in_their_places_are_a_convolution():
    x, offset, mask, weight, bias = inputs()
    given = modulated_deform_conv(
        x, torch.zeros_like(offset), torch.ones_like(mask), weight, bias
    )
    torch.testing.assert_close(given, F.conv2d(x, weight, bias, padding=1))


def test_half_precision_is_raised():
    exact = inputs()
    halves = [x.bfloat16() for x in exact]
    given = modulated_deform_conv(*halves)
    expected = modulated_deform_conv(*(x.float() for x in halves))
    assert given.dtype == torch.float32
    torch.testing.assert_close(given, expected)
