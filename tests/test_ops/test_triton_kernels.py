"""The kernels, run by Triton's interpreter, against the operations they replace."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.models.common.fgdf import FlowGuidedDynamicUpsampling
from fmanet_mm.ops import split_groups, warp_groups
from fmanet_mm.ops.fused import activated_sum, dense_layer, gelu_gate, normalise

pytest.importorskip('triton')

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
CHANNELS, WIDTH = 10, 16


@pytest.fixture(scope='module')
def kernels():
    from fmanet_mm.ops import triton_kernels

    return triton_kernels


def features(dtype, num=2, height=5, width=7, seed=0):
    """Channels-last features, of which the last channels are zero."""
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(num, WIDTH, height, width, generator=generator) + 2
    x[:, CHANNELS:] = 0
    return x.to(dtype, memory_format=torch.channels_last)


def assert_close(given, expected, dtype):
    assert given.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps
    torch.testing.assert_close(
        given.float(), expected.float(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('centred', [True, False])
def test_normalise(kernels, dtype, centred):
    x = features(dtype)
    given = kernels.normalise(x, CHANNELS, centred, 1e-5)
    assert_close(given, normalise(x.double(), CHANNELS, centred, 1e-5), dtype)
    assert given.is_contiguous(memory_format=torch.channels_last)
    assert not given[:, CHANNELS:].any()


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('num_flows', [1, 5])
def test_warp_channels(kernels, dtype, num_flows):
    """Of some rows; with flows that leave the image, which adds zeros."""
    x = features(dtype)
    generator = torch.Generator().manual_seed(1)
    flow_masks = 4 * torch.randn(2, 3 * num_flows, 3, 7, generator=generator).to(dtype)
    flow_masks[0, :2, 0, :3] = torch.tensor([1e4, -1e4, 0.0])  # far outside, and none
    rows = torch.arange(1, 4).unsqueeze(1)
    given = kernels.warp_channels(x, flow_masks, rows, CHANNELS)
    groups = split_groups(x[:, :CHANNELS].double(), num_flows)
    expected = warp_groups(groups, flow_masks.double(), rows)
    assert expected.ne(0).float().mean() > 0.3
    assert_close(given[:, :CHANNELS], expected, dtype)
    assert not given[:, CHANNELS:].any()


def test_warp_channels_reads_strided_flows(kernels):
    x = features(torch.float32)
    generator = torch.Generator().manual_seed(1)
    flow_masks = torch.randn(2, 6, 5, 7, generator=generator)
    rows = torch.arange(5).unsqueeze(1)
    strided = flow_masks.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        kernels.warp_channels(x, strided, rows, CHANNELS),
        kernels.warp_channels(x, flow_masks, rows, CHANNELS),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize('dtype', DTYPES)
def test_gelu_gate(kernels, dtype):
    gate, value = features(dtype), features(dtype, seed=1)
    expected = gelu_gate(gate.double(), value.double())
    assert_close(kernels.gelu_gate(gate, value), expected, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('layers', [1, 3])
def test_dense_layer(kernels, dtype, layers):
    parts = [features(dtype, seed=i)[:, : 4 * (3 - i)] for i in range(layers)]
    expected = dense_layer([part.double() for part in parts], 4, 0.2)
    given = kernels.dense_layer(parts, 4, 0.2)
    assert_close(given, expected, dtype)
    assert given.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize('other', [True, False])
@pytest.mark.parametrize('dtype', DTYPES)
def test_activated_sum(kernels, dtype, other):
    x, third = (features(dtype, 6, seed=i).unflatten(0, (2, 3)) for i in range(2))
    third = third if other else None
    shared = features(dtype, seed=2)
    given = kernels.activated_sum(x, shared, third, 0.2)
    doubles = (None if y is None else y.double() for y in (x, shared, third))
    assert_close(given, activated_sum(*doubles, 0.2), dtype)


# The interpreter cannot multiply matrices of bfloat16.
@pytest.mark.parametrize('plus', [None, torch.float32, 'same'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_fuse_channels(kernels, dtype, plus):
    """Of widths above and below what is multiplied at a time; more pixels than one."""
    inputs = [features(dtype, 2, 7, 11), features(dtype, 2, 7, 11, seed=1)[:, :6]]
    inputs.insert(0, torch.cat((inputs[0],) * 3, dim=1) * 0.7)
    weight = features(dtype, 20, 70, 1, seed=2).flatten(1)[:, :70] / 20
    bias = weight[:, 0]
    if plus is not None:
        plus = features(dtype, 2, 7, 11, seed=3).repeat(1, 2, 1, 1)[:, :20]
        plus = plus.to(dtype if plus == 'same' else torch.float32)
    given = kernels.fuse_channels(inputs, weight, bias, plus)
    doubles = torch.cat([x.double() for x in inputs], dim=1)
    expected = F.conv2d(doubles, weight.double()[..., None, None], bias.double())
    if plus is not None:
        expected += plus
    assert_close(given, expected, dtype if plus is None else plus.dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(('scale', 'kernel_size'), [(1, 3), (3, 3), (4, 5)])
def test_dynamic_upsample(kernels, dtype, scale, kernel_size):
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 3, 3, 5, 7, generator=generator)
    filters = torch.randn(6, (scale * kernel_size) ** 2, 5, 7, generator=generator)
    filters = filters.to(dtype, memory_format=torch.channels_last)
    filters = filters.unflatten(0, (2, 3))
    given = kernels.dynamic_upsample(frames, filters, kernel_size, scale)
    upsampling = FlowGuidedDynamicUpsampling(kernel_size, scale)
    expected = upsampling(frames.double(), filters.double())
    assert_close(given, expected, torch.float32)


@pytest.mark.parametrize(
    'name',
    [
        'normalise', 'warp_channels', 'gelu_gate', 'dense_layer', 'activated_sum',
        'fuse_channels', 'dynamic_upsample',
    ],
)  # fmt: skip
def test_shapes_can_be_followed_without_computing(kernels, name):
    x = features(torch.bfloat16)
    arguments = dict(
        normalise=(x, CHANNELS, True, 1e-5),
        warp_channels=(x, x[:, :15], torch.arange(5).unsqueeze(1), CHANNELS),
        gelu_gate=(x, x),
        dense_layer=([x, x[:, :8]], 8, 0.2),
        activated_sum=(x.unsqueeze(1), x, None, 0.2),
        fuse_channels=([x, x[:, :8]], torch.ones(4, 24).bfloat16(), None, None),
        dynamic_upsample=(torch.ones(1, 2, 3, 5, 7), x[:, :4].unsqueeze(0), 1, 2),
    )[name]
    operation = getattr(torch.ops.fmanet_mm, name)
    torch.library.opcheck(
        operation, arguments, test_utils=('test_schema', 'test_faketensor')
    )


COMPILE = """\
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fmanet_mm.ops import triton_kernels as kernels

POINTERS = dict(x='*bf16', out='*bf16', flow_masks='*bf16', rows='*i64', gate='*bf16',
                value='*bf16', eps='fp32', parts=('*bf16', '*bf16'), weight='*bf16',
                inputs=('*bf16', '*bf16'), bias='*bf16', plus='*fp32', shared='*bf16',
                other='*bf16', frames='*fp32', kernels='*bf16')
CONSTANTS = dict(CENTRED=True, PIXELS=16, WIDTH=128, ELEMENTS=1024, WIDTHS=(48, 24),
                 GROWTH=24, SLOPE=0.2, IN_WIDTH=72, OUT_WIDTH=96, STEP=32, SIZE=5,
                 SCALE=4, FILTERS=16)
for kernel in (kernels._normalise, kernels._warp, kernels._gelu_gate,
               kernels._dense_layer, kernels._activated_sum, kernels._fuse_channels,
               kernels._dynamic_upsample):
    constants = {n: c for n, c in CONSTANTS.items() if n in kernel.arg_names}
    signature = {n: POINTERS.get(n, 'i32') for n in kernel.arg_names}
    signature.update(dict.fromkeys(constants, 'constexpr'))
    source = ASTSource(kernel, signature, constexprs=constants)
    print(len(triton.compile(source, target=GPUTarget('cuda', 90, 32)).asm['cubin']))
"""


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
    assert all(int(size) > 1000 for size in done.stdout.split())
    assert len(done.stdout.split()) == 7
