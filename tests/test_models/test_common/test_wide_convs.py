"""Weights that are cast and padded at once change neither results nor gradients."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fmanet_mm.models import FMANet
from fmanet_mm.models.common import layers, rdb, wide_convs
from fmanet_mm.models.common.rdb import ResidualDenseBlock, cut_dense_weights
from fmanet_mm.models.common.wide_convs import (
    WideConv2d,
    cast_convolutions,
    narrow,
    widen,
    with_present_weights,
)
from fmanet_mm.ops import trained

ARCHITECTURE = dict(
    channels=18,
    num_flows=3,
    num_blocks=2,
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=1,
    growth_channels=6,
    num_dense_layers=2,
    degradation_kernel_size=6,
    restoration_kernel_size=3,
)


@pytest.fixture
def padding(monkeypatch):
    """Pad on the CPU as on a GPU, to multiples of 8 channels."""

    def padded(channels, device, dtype):
        return -(-channels // 8) * 8

    for module in (layers, rdb, wide_convs):
        monkeypatch.setattr(module, 'padded_channels', padded)


@pytest.fixture
def kernels(monkeypatch, padding):
    """Compute with the kernels of a GPU, which Triton interprets."""
    pytest.importorskip('triton')
    if torch.cuda.is_available():
        pytest.skip('Triton interprets nothing where there is a GPU')
    from fmanet_mm.ops import triton_kernels

    def find(x):
        return triton_kernels if x.dtype == torch.float32 else None

    monkeypatch.setattr(trained, 'find_kernels', find)


def step(with_cp=False):
    """Loss and gradients of a tiny network."""
    torch.manual_seed(0)
    losses = {name: nn.L1Loss() for name in FMANet.loss_names if name != 'ta_r'}
    model = FMANet(ARCHITECTURE | dict(with_cp=with_cp), losses=losses).train()
    targets = dict(
        gt_img=torch.rand(1, 3, 3, 16, 20),
        img_sharp=torch.rand(1, 3, 3, 4, 5),
        flow=torch.randn(1, 3, 2, 4, 5),
    )
    loss = sum(model(torch.rand(1, 3, 3, 4, 5), targets, mode='loss').values())
    loss.backward()
    return loss.detach(), {n: weight.grad for n, weight in model.named_parameters()}


@pytest.mark.slow
@pytest.mark.parametrize('with_cp', [False, True])
def test_a_step_as_on_a_gpu_equals_one_on_a_cpu(request, with_cp):
    loss, gradients = step()
    request.getfixturevalue('kernels')
    given, given_gradients = step(with_cp)
    torch.testing.assert_close(given, loss, rtol=1e-6, atol=0)
    for name, expected in gradients.items():
        if expected is None:
            assert given_gradients[name] is None
            continue
        torch.testing.assert_close(
            given_gradients[name],
            expected,
            rtol=1e-4,
            atol=1e-5 * expected.abs().max().item(),
            msg=name,
        )


class Pair(nn.Module):
    """Two convolutions of the same width, one of another, and one that is not used."""

    def __init__(self):
        super().__init__()
        self.first = WideConv2d(4, 6, 3, parts=2)
        self.depthwise = WideConv2d(6, 6, 3, groups=6, parts=2)
        self.second = nn.Conv2d(4, 2, 3, padding=1)
        self.unused = nn.Conv2d(4, 2, 3, padding=1)
        self.exact = WideConv2d(4, 2, 3, casts=False)

    def forward(self, x):
        parts = self.depthwise(self.first(x)).chunk(2, dim=1)
        parts = [narrow(part, 3) for part in parts]
        return torch.cat((*parts, self.second(x[:, :4])), dim=1)


def gradients(model, x, context):
    model.zero_grad()
    with torch.autocast('cpu', torch.bfloat16):
        with context(model):
            out = model(x)
    out.square().sum().backward()
    return out, {name: weight.grad for name, weight in model.named_parameters()}


def as_it_is(model):
    return torch.autocast('cpu', torch.bfloat16)


def test_casting_at_once_equals_autocast():
    torch.manual_seed(0)
    model, x = Pair(), torch.rand(2, 4, 5, 6)
    names = [name for name, _ in model.named_parameters()]
    out, expected = gradients(model, x, as_it_is)
    given, found = gradients(model, x, cast_convolutions)
    torch.testing.assert_close(given, out, rtol=0, atol=0)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None
        else:
            assert found[name].dtype == torch.float32
            torch.testing.assert_close(found[name], gradient, rtol=1e-2, atol=1e-2)
    assert [name for name, _ in model.named_parameters()] == names
    assert all(isinstance(weight, nn.Parameter) for weight in model.parameters())


def test_weights_are_padded_within_the_context_only(monkeypatch, padding):
    monkeypatch.setattr(trained, 'has_kernels', lambda x: True)
    torch.manual_seed(0)
    model = Pair()
    with torch.autocast('cpu', torch.bfloat16), cast_convolutions(model):
        assert model.first.weight.shape == (16, 8, 3, 3), 'two parts of 3 channels'
        assert not model.first.weight[3:8].any() and not model.first.weight[:, 4:].any()
        assert model.depthwise.weight.shape == (16, 1, 3, 3)
        assert model.second.weight.shape == (2, 4, 3, 3)
        assert model.second.weight.dtype == torch.bfloat16
        assert model.exact.weight.dtype == torch.float32
    assert model.first.weight.shape == (6, 4, 3, 3)


def test_padded_weights_give_the_same_result(monkeypatch, padding):
    torch.manual_seed(0)
    model, x = Pair(), torch.rand(2, 4, 5, 6)
    out, expected = gradients(model, x, cast_convolutions)
    monkeypatch.setattr(trained, 'has_kernels', lambda x: True)
    given, found = gradients(model, x, cast_convolutions)
    torch.testing.assert_close(given, out, rtol=1e-2, atol=1e-2)
    for name in ('first.weight', 'depthwise.weight', 'second.weight'):
        assert found[name].shape == expected[name].shape
        torch.testing.assert_close(found[name], expected[name], rtol=0.02, atol=0.02)


def test_the_model_is_left_as_it_is_without_autocast_or_gradients():
    model = Pair()
    weight = model.first.weight
    with cast_convolutions(model):
        assert model.first.weight is weight
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        with cast_convolutions(model):
            assert model.first.weight is weight


def test_weights_are_put_back_after_an_error():
    model = Pair()
    weight = model.first.weight
    with pytest.raises(ZeroDivisionError):
        with torch.autocast('cpu', torch.bfloat16), cast_convolutions(model):
            assert model.first.weight is not weight
            raise ZeroDivisionError
    assert model.first.weight is weight


def test_a_function_keeps_the_weights_it_was_given():
    model, x = Pair(), torch.rand(1, 4, 3, 3)
    with torch.autocast('cpu', torch.bfloat16), cast_convolutions(model):
        cast = model.first.weight
        later = with_present_weights(model, lambda x: model.first.weight + 0 * x.sum())
    assert later(x).dtype == torch.bfloat16 or cast.dtype == torch.bfloat16
    torch.testing.assert_close(later(torch.zeros(1)).bfloat16(), cast, rtol=0, atol=0)
    assert model.first.weight.dtype == torch.float32


def test_widen_and_narrow():
    x = torch.rand(1, 3, 2, 2)
    wide = widen(x, 5)
    assert wide.shape == (1, 5, 2, 2) and not wide[:, 3:].any()
    torch.testing.assert_close(narrow(wide, 3), x, rtol=0, atol=0)
    assert widen(x, 3) is x and narrow(x, 3) is x


def test_padded_dense_blocks_equal_concatenation(padding):
    torch.manual_seed(0)
    blocks = [ResidualDenseBlock(6, 3, 3).double() for _ in range(2)]
    x = torch.rand(2, 6, 4, 5, dtype=torch.float64, requires_grad=True)
    given, expected = x, x
    with cut_dense_weights(nn.Sequential(*blocks)):
        assert blocks[0].weights_of_step.parts[0].shape == (24, 8, 3, 3)
        assert blocks[1].weights_of_step.fusion.shape == (8, 8 + 3 * 8, 1, 1)
        for block in blocks:
            given = block(given)
    assert blocks[0].weights_of_step is None
    for block in blocks:
        dense = expected
        for layer in block.layers:
            dense = torch.cat((dense, F.leaky_relu(layer(dense), 0.2)), dim=1)
        expected = expected + block.fusion(dense)
    torch.testing.assert_close(given, expected)
    inputs = [x, *(weight for block in blocks for weight in block.parameters())]
    for ours, reference in zip(
        torch.autograd.grad(given.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(ours, reference)


def test_dense_blocks_carry_zero_channels(padding):
    block = ResidualDenseBlock(6, 3, 2).double()
    x = torch.rand(1, 6, 4, 5, dtype=torch.float64)
    wide = block(widen(x, 8))
    assert wide.shape == (1, 8, 4, 5) and not wide[:, 6:].any()
    torch.testing.assert_close(narrow(wide, 6), block(x))
