import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.ops.lean_convs import conv_concatenated


def tensors(bias, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 5), (2, 1, 4, 5), (6, 4, 1, 1)] + [(6,)] * bias
    return [
        torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True)
        for shape in shapes
    ]


def convolve(first, second, weight, bias=None):
    return conv_concatenated([first, second], weight, bias)


@pytest.mark.parametrize('bias', [False, True])
def test_concatenated_convolution_and_its_gradients(bias):
    first, second, *weights = tensors(bias)
    expected = F.conv2d(torch.cat((first, second), dim=1), *weights)
    torch.testing.assert_close(convolve(first, second, *weights), expected)
    assert torch.autograd.gradcheck(convolve, (first, second, *weights))


def test_the_concatenation_is_not_kept():
    first, second, weight = tensors(False)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.shape) or x, lambda x: x
    ):
        convolve(first, second, weight)
    assert saved == [first.shape, second.shape, weight.shape]


def test_float32_weights_are_cast_under_autocast():
    first, second, weight, bias = tensors(True, torch.float32)
    halves = [x.detach().bfloat16().requires_grad_() for x in (first, second)]
    with torch.autocast('cpu', torch.bfloat16):
        out = convolve(*halves, weight, bias)
        expected = F.conv2d(torch.cat(halves, dim=1), weight, bias)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, expected, rtol=0, atol=0)
    out.sum().backward()
    assert weight.grad.dtype == bias.grad.dtype == torch.float32
