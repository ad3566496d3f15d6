"""Predicted costs of training steps, and what they are predicted from."""

import importlib
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'

MOST = dict(launches=4_700, gigabytes=116.5, device_ms=70.5, eager_ms=71.0)
"""Of a step of the published network in bfloat16, and a little more.

8 windows of 64x64. Lower them with the costs.
"""


@pytest.fixture(scope='module')
def model():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module('training_cost')
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope='module')
def cases(model):
    return importlib.import_module('cases')


def kernels(model, call, tf32=False):
    """Those of the gradients of what a call returns."""
    with model.gpu_with_gradients():
        # Doubled, so that its gradient is no single number that is expanded.
        _, operations = model.record(lambda: (2 * call()).sum().backward())
    return list(model.step_kernels(operations, tf32))


@pytest.mark.slow
def test_cost_of_a_step_is_bounded(model, cases):
    pytest.importorskip('triton', reason='without fused kernels a step costs more')
    task = cases.Task('training', 8, 64, 64)
    plain, package = (
        model.step_cost(task, cases.Case(variant, 'bf16'))
        for variant in ('plain', 'package')
    )
    total = package.total
    assert total.launches <= MOST['launches']
    assert total.bytes / 1e9 <= MOST['gigabytes']
    assert total.device_ms <= MOST['device_ms']
    assert total.eager_ms <= MOST['eager_ms']
    assert plain.total.eager_ms > 2.1 * total.eager_ms
    assert package.tensor_bytes < 0.5 * plain.tensor_bytes


class Doubled(torch.autograd.Function):
    """A function in Python, with an argument that is no tensor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return factor * x

    @staticmethod
    def backward(ctx, grad):
        return ctx.factor * grad, None


def test_gradients_are_those_of_autograd(model):
    """With a weight that is used twice, broadcasts, conversions and checkpoints."""
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3, bias=False)])
    unused = nn.Parameter(torch.rand(2))
    x = torch.rand(4, 3)

    def loss():
        first, second = layers
        hidden = Doubled.apply(first(first(x)), 2)
        hidden = checkpoint(lambda x: second(x).exp(), hidden, use_reentrant=False)
        left, right = (hidden + first.bias).split((1, 2), dim=1)
        return (left.bfloat16().float() * right).sum() + unused.detach().sum()

    weights = list(layers.parameters())
    expected = torch.autograd.grad(loss(), weights)
    model.differentiate(loss())
    for weight, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)
    assert unused.grad is None


@pytest.mark.parametrize(('channels', 'paddings'), [(96, 0), (90, 9)])
def test_gradients_of_convolutions(model, channels, paddings):
    def convolve():
        layout = dict(memory_format=torch.channels_last)
        x = torch.empty(2, channels, 16, 24, dtype=torch.bfloat16).to(**layout)
        weight = torch.empty(channels, channels, 3, 3, dtype=torch.bfloat16)
        return F.conv2d(
            x.requires_grad_(), weight.to(**layout).requires_grad_(), padding=1
        )

    started = kernels(model, convolve)
    convolutions = [k for k in started if k.kind == 'convolution']
    assert len(convolutions) == 3, 'the result, and of input and weight'
    (flops,) = {kernel.flops for kernel in convolutions}
    assert flops == 2 * 9 * channels**2 * 2 * 16 * 24
    assert sum(kernel.kind == 'padding' for kernel in started) == paddings


def test_gradients_of_depthwise_convolutions_take_the_time_of_memory(model):
    def convolve():
        x = torch.empty(1, 8, 64, 64, requires_grad=True)
        weight = torch.empty(8, 1, 3, 3, requires_grad=True)
        return F.conv2d(x, weight, padding=1, groups=8)

    forward, *gradients = (k for k in kernels(model, convolve) if k.flops)
    assert [kernel.kind for kernel in gradients] == ['depth-wise'] * 2
    assert all(kernel.bytes == forward.bytes for kernel in gradients)


def test_gradients_of_biases_are_sums(model):
    def convolve():
        x, weight = torch.empty(1, 8, 16, 16), torch.empty(4, 8, 1, 1)
        return F.conv2d(x, weight, torch.empty(4, requires_grad=True))

    *_, last = kernels(model, convolve)
    assert last.kind == 'elementwise' and last.bytes == 4 * 4 * 16 * 16


def test_gradients_of_layer_norms(model):
    def normalise(channels):
        x = torch.empty(2, 32, 32, channels, requires_grad=True)
        weight = torch.empty(channels, requires_grad=True)
        return lambda: F.layer_norm(x, [channels], weight)

    def gradients(channels):
        with model.gpu_with_gradients():
            call = normalise(channels)
            _, operations = model.record(lambda: call().sum().backward())
        started = list(model.step_kernels(operations, False))
        norms = [kernel for kernel in started if kernel.kind == 'layer norm']
        return norms[-2:]

    odd, even = gradients(90), gradients(92)
    extra = odd[0].ms - even[0].ms * odd[0].bytes / even[0].bytes
    assert extra == pytest.approx(2048 * model.MOMENTS_NS / 1e6, rel=0.05)
    assert len(even) == 2


def test_gradients_of_parts_write_zeros_first(model):
    def part():
        return torch.empty(8, 1024, requires_grad=True)[:, :256]

    zeros, copy = kernels(model, part)[-2:]
    assert zeros.bytes == 8 * 1024 * 4
    assert copy.bytes == 2 * 8 * 256 * 4


def test_gradients_of_warps_add_up_in_four_places(model):
    def warp():
        x = torch.empty(1, 2, 8, 8, requires_grad=True)
        return F.grid_sample(x, torch.empty(1, 8, 8, 2), align_corners=True)

    last = [k for k in kernels(model, warp) if k.kind == 'grid sample'][-1]
    array = 2 * 8 * 8 * 4
    assert last.bytes == array + array + 2 * array + 9 * array


def test_optimizer_updates_many_weights_in_a_launch(model):
    def step():
        weights = [nn.Parameter(torch.empty(10)) for _ in range(model.ADAM_TENSORS + 1)]
        for weight in weights:
            weight.grad = torch.empty(10)
        torch.optim.Adam(weights, fused=True).step()

    with model.gpu_with_gradients():
        _, operations = model.record(step)
    started = [k for k in model.step_kernels(operations, False) if k.kind == 'Adam']
    assert [kernel.bytes for kernel in started] == [
        7 * 40 * model.ADAM_TENSORS,
        7 * 40,
    ]


def test_table_compares_the_variants(model, cases, monkeypatch):
    costs = dict(plain=4.0, package=2.0, checkpointed=2.5)

    def cost(task, case):
        kernel = model.Kernel('copy', 10**9, 3 * 10**9, costs[case.variant])
        return model.StepCost([kernel], 2**30)

    monkeypatch.setattr(model, 'step_cost', cost)
    text = model.table(cases.Task('training', 8, 64, 64), 'bf16')
    assert text.splitlines()[0] == 'training step, 64x64, batch 8, bf16, predicted'
    assert [line.split() for line in text.splitlines()[2:]] == [
        'plain 1 1.0 3 4.0 4.0 1.00 1.00x'.split(),
        'package 1 1.0 3 2.0 2.0 1.00 2.00x'.split(),
        'checkpointed 1 1.0 3 2.5 2.5 1.00 1.60x'.split(),
    ]


def test_command_prints_the_table_and_refuses_fp16(model, cases, monkeypatch, capsys):
    command = importlib.import_module('cost_model')
    monkeypatch.setattr(model, 'table', lambda task, dtype: f'{task}, {dtype}')
    arguments = ['cost_model.py', '--training', '8', '--size', '64x64']
    monkeypatch.setattr(sys, 'argv', arguments)
    command.main()
    assert capsys.readouterr().out == '64x64, batch 8, bf16\n'
    monkeypatch.setattr(sys, 'argv', [*arguments, '--dtype', 'fp16'])
    with pytest.raises(SystemExit):
        command.main()
    assert model.NO_FP16 in capsys.readouterr().err
