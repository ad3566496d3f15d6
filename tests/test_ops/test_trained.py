"""Kernels of training against formulas, without a GPU by an interpreter."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from fmanet_mm.ops import split_groups, trained, warp_groups

pytest.importorskip('triton')

DTYPES = [torch.float32, torch.bfloat16]
CHANNELS, WIDTH = 6, 8
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def random(*shape, seed=0, zeros=0):
    """Random numbers, and zeros at the end of the second dimension."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    if zeros:
        x[:, -zeros:] = 0
    return x.to(DEVICE)


def assert_close(given, expected, dtype):
    tolerance = 2e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    scale = max(expected.abs().max().item(), 1)
    torch.testing.assert_close(
        given.double(), expected, rtol=tolerance, atol=tolerance * scale
    )


def check(function, formula, inputs, grad, dtype):
    """Compare results and gradients; the formula is computed in float64."""
    inputs = [x.to(dtype).requires_grad_() for x in inputs]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    given, expected = function(*inputs), formula(*exact)
    assert given.dtype == dtype
    assert_close(given, expected, dtype)
    grad = grad.to(dtype)
    pairs = zip(
        torch.autograd.grad(given, inputs, grad),
        torch.autograd.grad(expected, exact, grad.double()),
        strict=True,
    )
    for ours, reference in pairs:
        assert ours.dtype == dtype
        assert_close(ours, reference, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('centred', [True, False])
def test_channel_norm(dtype, centred):
    """Of features with zero channels, which stay zero and get no gradient."""
    x = random(2, WIDTH, 9, 8, zeros=WIDTH - CHANNELS)
    affine = [random(CHANNELS, seed=1)] + [random(CHANNELS, seed=2)] * centred
    grad = random(2, WIDTH, 9, 8, seed=3, zeros=WIDTH - CHANNELS)

    def formula(x, weight, bias=None):
        real = x[:, :CHANNELS]
        deviation = (real.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        if bias is None:
            real = real / deviation * weight.view(-1, 1, 1)
        else:
            real = (real - real.mean(1, keepdim=True)) / deviation
            real = real * weight.view(-1, 1, 1) + bias.view(-1, 1, 1)
        return F.pad(real, (0, 0, 0, 0, 0, WIDTH - CHANNELS))

    def function(x, weight, bias=None):
        return trained.channel_norm(x, weight, bias, 1e-5)

    check(function, formula, [x, *affine], grad, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
def test_gated_convolution(dtype):
    def formula(hidden, weight):
        gate, value = hidden.chunk(2, dim=1)
        return F.conv2d(F.gelu(gate) * value, weight)

    inputs = [random(2, 10, 4, 3), random(7, 5, 1, 1, seed=1)]
    check(trained.gated_conv, formula, inputs, random(2, 7, 4, 3, seed=2), dtype)


@pytest.mark.parametrize('num_flows', [1, 3])
def test_warp(num_flows):
    """With flows that leave the image, and with several pixels from the same place."""
    rows = torch.arange(5, device=DEVICE).unsqueeze(1)
    flow_masks = 2 * random(2, 3 * num_flows, 5, 7, seed=1)
    flow_masks[0, :2, 0, :3] = torch.tensor([1e4, -1e4, 0.3])
    check(
        lambda x, flow_masks: trained.warp_channels(x, flow_masks, rows),
        lambda x, flow_masks: warp_groups(split_groups(x, num_flows), flow_masks, rows),
        [random(2, CHANNELS, 5, 7), flow_masks],
        random(2, CHANNELS, 5, 7, seed=2),
        torch.float32,
    )


@pytest.mark.parametrize('heads', [1, 3])
def test_mixing(heads):
    """Of query and key with zero channels, which mix with none."""
    zeros = WIDTH - CHANNELS
    query, key = (random(2, WIDTH, 5, 4, seed=s, zeros=zeros) for s in range(2))
    inputs = [query, key, random(heads, 1, 1, seed=2), random(CHANNELS, CHANNELS)]
    grad = random(2, WIDTH, WIDTH, seed=4)

    def formula(query, key, temperature, project):
        query, key = (
            F.normalize(x[:, :CHANNELS].flatten(2).unflatten(1, (heads, -1)), dim=-1)
            for x in (query, key)
        )
        attention = (query @ key.mT * temperature).softmax(-1)
        project = project.unflatten(1, (heads, -1))
        mixing = torch.einsum('ohi,nhij->nohj', project, attention).flatten(2)
        return F.pad(mixing, (0, zeros, 0, zeros))

    check(trained.mixing, formula, inputs, grad, torch.float32)


def test_mixing_in_float16_keeps_gradients_that_are_small_or_large():
    """Lengths of 2,000 and of 0.01; their squares leave the range of float16."""
    query, key = 500 * random(1, 4, 4, 4), 0.0025 * random(1, 4, 4, 4, seed=1)
    temperature, project = random(1, 1, 1, seed=2), random(4, 4, seed=3)
    grad = random(1, 4, 4, seed=4)

    def gradients(dtype):
        inputs = [x.half().to(dtype).requires_grad_() for x in (query, key)]
        mixing = trained.mixing(*inputs, temperature, project)
        return torch.autograd.grad(mixing, inputs, 1000 * grad.to(dtype))

    pairs = zip(gradients(torch.float16), gradients(torch.float32), strict=True)
    for ours, reference in pairs:
        scale = reference.abs().max().item()
        torch.testing.assert_close(
            ours.float(), reference, rtol=0.01, atol=0.01 * scale
        )


def test_they_are_for_gradients_on_gpus():
    with FakeTensorMode():
        x = torch.empty(1, 2, 3, 4, device='cuda')
        assert trained.has_kernels(x)
        assert trained.has_mixing_kernels(x, 32)
        assert not trained.has_mixing_kernels(x, 33)
        assert trained.has_warp_kernels(x)
        with torch.no_grad():
            assert not trained.has_kernels(x)
        torch.use_deterministic_algorithms(True)
        try:
            assert not trained.has_warp_kernels(x)
        finally:
            torch.use_deterministic_algorithms(False)
    assert not trained.has_kernels(torch.empty(1, 2, 3, 4))


def test_without_them_it_is_reported_once(monkeypatch, capsys):
    from fmanet_mm.ops.triton_kernels import training

    def fail(*_):
        raise RuntimeError('out of registers')

    monkeypatch.setattr(training, 'try_kernels', fail)
    with FakeTensorMode():
        x = torch.empty(1, 2, 3, 4, device='cuda:1')
        assert not trained.has_kernels(x)
        assert not trained.has_kernels(x)
    message = 'training without fused kernels, which is slower: out of registers'
    assert capsys.readouterr().out.count(message) == 1


@pytest.mark.parametrize(
    'name',
    [
        'channel_norm',
        'channel_norm_backward',
        'gate',
        'gate_backward',
        'warp_channels_backward',
        'channel_mixing_backward',
    ],
)
def test_shapes_can_be_followed_without_computing(name):
    import fmanet_mm.ops.triton_kernels.training  # noqa: F401

    x = random(2, 5, 7, 6).bfloat16()
    weight = random(6)
    arguments = dict(
        channel_norm=(x, weight, None, 1e-5),
        channel_norm_backward=(x, x, weight, True, 1e-5),
        gate=(x,),
        gate_backward=(x[..., :3], x),
        warp_channels_backward=(x, x, random(2, 9, 5, 7)),
        channel_mixing_backward=(
            random(2, 8, 8).bfloat16(),
            random(2, 3, 18, 16),
            random(3, 1, 1),
            random(6, 6),
            1e-12,
        ),
    )[name]
    torch.library.opcheck(
        getattr(torch.ops.fmanet_mm, name),
        arguments,
        test_utils=('test_schema', 'test_faketensor'),
    )


COMPILE = """\
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fmanet_mm.ops.triton_kernels import training as kernels

NUMBERS = ('pixels channels width height columns elements group_size groups head '
           'heads').split()
CONSTANTS = dict(CENTRED=True, PIXELS=16, ROUNDS=8, WIDTH=128, ELEMENTS=1024, SIZE=16)
for name in ('_norm', '_norm_gradients', '_gate', '_gate_gradients',
             '_warp_gradients', '_mixing_gradients'):
    kernel = getattr(kernels, name)
    constants = {n: c for n, c in CONSTANTS.items() if n in kernel.arg_names}
    if name == '_warp_gradients':
        constants.update(PIXELS=64, WIDTH=16)
    signature = dict.fromkeys(kernel.arg_names, '*bf16')
    for n in ('sums', 'of_temperature', 'of_project', 'grad_x', 'grad_flow_masks'):
        if n in signature:
            signature[n] = '*fp32'
    signature.update({n: 'i32' for n in NUMBERS if n in signature})
    signature.update({n: 'fp32' for n in ('eps', 'least_square') if n in signature})
    signature.update(dict.fromkeys(constants, 'constexpr'))
    source = ASTSource(kernel, signature, constexprs=constants)
    print(len(triton.compile(source, target=GPUTarget('cuda', 90, 32)).asm['cubin']))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='the assembler comes for Linux')
def test_they_compile_for_a_gpu_that_is_not_there(tmp_path):
    environment = {**os.environ, 'TRITON_CACHE_DIR': str(tmp_path)}
    environment.pop('TRITON_INTERPRET', None)
    done = subprocess.run(
        [sys.executable, '-c', COMPILE],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [int(size) > 1000 for size in done.stdout.split()] == [True] * 6
