"""The kernels against the operations they replace, without a GPU by an interpreter."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.models.common.fgdf import FlowGuidedDynamicUpsampling
from fmanet_mm.models.common.inference import Widths, inference_form
from fmanet_mm.models.common.multi_attention import GuidedAttention, channel_mixing
from fmanet_mm.ops import WHOLE_FRAMES, Strips, split_groups, warp_groups
from fmanet_mm.ops.channel_products import channel_products
from fmanet_mm.ops.fused import activated_sum, dense_layer, normalise

pytest.importorskip('triton')

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
CHANNELS, WIDTH = 10, 16
DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')


@pytest.fixture(scope='module')
def kernels():
    from fmanet_mm.ops import triton_kernels

    return triton_kernels


def features(dtype, num=2, height=5, width=7, seed=0):
    """Channels-last features, of which the last channels are zero."""
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(num, WIDTH, height, width, generator=generator) + 2
    x[:, CHANNELS:] = 0
    return x.to(DEVICE, dtype, memory_format=torch.channels_last)


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
    flow_masks = 4 * torch.randn(2, 3 * num_flows, 3, 7, generator=generator)
    flow_masks = flow_masks.to(DEVICE, dtype)
    flow_masks[0, :2, 0, :3] = torch.tensor([1e4, -1e4, 0.0])  # far outside, and none
    rows = torch.arange(1, 4, device=DEVICE).unsqueeze(1)
    given = kernels.warp_channels(x, flow_masks, rows, CHANNELS)
    groups = split_groups(x[:, :CHANNELS].double(), num_flows)
    expected = warp_groups(groups, flow_masks.double(), rows)
    assert expected.ne(0).float().mean() > 0.3
    assert_close(given[:, :CHANNELS], expected, dtype)
    assert not given[:, CHANNELS:].any()


def test_warp_channels_reads_strided_flows(kernels):
    x = features(torch.float32)
    generator = torch.Generator().manual_seed(1)
    flow_masks = torch.randn(2, 6, 5, 7, generator=generator).to(DEVICE)
    rows = torch.arange(5, device=DEVICE).unsqueeze(1)
    strided = flow_masks.to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        kernels.warp_channels(x, strided, rows, CHANNELS),
        kernels.warp_channels(x, flow_masks, rows, CHANNELS),
        rtol=0,
        atol=0,
    )


SIZES = [(2, 24, 19, 5), (1, 20, 1, 1), (1, 96, 2, 1), (2, 240, 1, 3), (1, 96, 9, 6)]
"""Rows in several columns, and less of everything than a program computes."""


def convolved(x, taps):
    """By torch, in float64."""
    weight = taps.double().T.unflatten(1, (1, 3, 3))
    return F.conv2d(x.double(), weight, padding=1, groups=len(weight))


def random_image(size, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, generator=generator)
    return x.to(DEVICE, dtype, memory_format=torch.channels_last)


def random_taps(channels, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, channels, generator=generator).to(DEVICE, dtype)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('size', SIZES)
def test_depthwise(kernels, dtype, size):
    x, taps = random_image(size, dtype), random_taps(size[1], dtype)
    given = kernels.depthwise(x, taps)
    assert_close(given, convolved(x, taps), dtype)
    assert given.is_contiguous(memory_format=torch.channels_last)


def test_depthwise_rounds_once(kernels):
    """Sums of 1 and eight halves of a unit in its last place."""
    x = torch.ones(1, 1, 3, 3, dtype=torch.float16, device=DEVICE)
    taps = torch.full((9, 1), 2.0**-11, dtype=torch.float16, device=DEVICE)
    taps[4] = 1
    assert kernels.depthwise(x, taps)[0, 0, 1, 1] == 1 + 2.0**-8


def test_depthwise_leaves_zero_channels_at_zero(kernels):
    taps = random_taps(WIDTH)
    taps[:, CHANNELS:] = 0
    given = kernels.depthwise(features(torch.float32), taps)
    assert given[:, :CHANNELS].all()
    assert not given[:, CHANNELS:].any()


def test_depthwise_reads_parts_of_channels_and_rows(kernels):
    x, taps = random_image((2, 40, 12, 3)), random_taps(40)
    part = x[:, 8:32, 2:11], taps[:, 8:32]
    copies = (y.contiguous() for y in part)
    given, expected = kernels.depthwise(*part), kernels.depthwise(*copies)
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('size', SIZES)
def test_gated_depthwise(kernels, dtype, size):
    x, taps = random_image(size, dtype), random_taps(size[1], dtype)
    gate, value = convolved(x, taps).chunk(2, dim=1)
    given = kernels.gated_depthwise(x, taps)
    assert_close(given, F.gelu(gate) * value, dtype)
    assert given.is_contiguous(memory_format=torch.channels_last)


def test_its_gate_is_as_exact_as_float32(kernels):
    gate = torch.linspace(-9, 9, 3000, device=DEVICE).view(1, 1, 50, 60)
    taps = torch.zeros(9, 2, device=DEVICE)
    taps[4] = 1
    x = torch.cat((gate, torch.ones_like(gate)), dim=1)
    given = kernels.gated_depthwise(x, taps)
    torch.testing.assert_close(
        given.double(), F.gelu(gate.double()), rtol=1e-6, atol=3e-7
    )


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(
    ('size', 'parts'), [((2, 10, 3, 5), 1), ((2, 10, 12, 13), 3), ((1, 5, 91, 90), 128)]
)
def test_channel_sums(kernels, dtype, size, parts):
    """Of heads of 5; a part of 91x90 pixels is more than is multiplied at once."""
    heads = size[1] // 5
    query, key = (random_image(size, dtype, seed) for seed in range(2))
    sums = kernels.channel_sums(query, key, heads)
    assert sums.dtype == torch.float32
    assert sums.size(1) == parts
    given = sums.double().sum(1)
    products, queries, keys = channel_products(query.double(), key.double(), heads)
    tolerance = dict(rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(given[..., :5, :5], products, **tolerance)
    torch.testing.assert_close(given[..., -2, :5].flatten(1), queries, **tolerance)
    torch.testing.assert_close(given[..., -1, :5].flatten(1), keys, **tolerance)
    assert not given[..., 5:].any()
    assert not given[..., 5:-2, :].any()


def test_channel_sums_read_rows_of_parts(kernels):
    """Strips crop their surroundings, and features lie side by side."""
    both = random_image((2, 20, 6, 7))[..., 1:5, :]
    parts = both[:, :10], both[:, 10:]
    expected = kernels.channel_sums(*(part.contiguous() for part in parts), 2)
    given = kernels.channel_sums(*parts, 2)
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize(('head', 'width'), [(3, 8), (3, 12), (15, 48)])
def test_channel_mixing(kernels, dtype, head, width):
    """Of two heads, one channel of which is zero; carried with zero channels."""
    generator = torch.Generator().manual_seed(0)
    project = torch.randn(2 * head, 2 * head, generator=generator).to(DEVICE, dtype)
    temperature = torch.tensor([[[1.5]], [[-3.0]]], dtype=dtype, device=DEVICE)
    query, key = (random_image((2, 2 * head, 9, 11), dtype, seed) for seed in range(2))
    query[:, 1] = 0
    sums = kernels.channel_sums(query, key, 2)
    products, *lengths = channel_products(query.double(), key.double(), 2)
    lengths = (x.unflatten(1, (2, -1)) for x in lengths)
    expected = channel_mixing(
        products, *lengths, temperature.double(), project.double()
    )
    given = kernels.channel_mixing(sums, temperature, project, width, 1e-12)
    assert_close(given[:, : 2 * head, : 2 * head], expected, dtype)
    assert given.shape == (2, width, width)
    assert not given[:, 2 * head :].any()
    assert not given[..., 2 * head :].any()


@pytest.mark.parametrize(
    ('channels', 'heads', 'strips'),
    [(9, 3, WHOLE_FRAMES), (9, 3, Strips(8)), (33, 1, WHOLE_FRAMES)],
)
@torch.no_grad()
def test_attention_with_kernels_equals_attention_without(
    kernels, monkeypatch, channels, heads, strips
):
    """With zero channels, and with a head that is too wide for some kernels."""
    torch.manual_seed(0)
    layer = GuidedAttention(channels, heads, ffn_expansion=1.2, norm_with_bias=True)
    form = inference_form(layer, Widths(8))
    size = 1, Widths(8)(channels), 18, 4
    feature, guide = (random_image(size, seed=seed).cpu() for seed in range(2))
    feature[:, channels:] = guide[:, channels:] = 0
    expected = form(feature, guide)
    trained = layer(feature[:, :channels], guide[:, :channels])
    torch.testing.assert_close(expected[:, :channels], trained, rtol=1e-5, atol=1e-5)
    for module in ('models.common.inference', 'ops.fused'):
        monkeypatch.setattr(f'fmanet_mm.{module}.find_kernels', lambda x: kernels)
    given = form.to(DEVICE)(feature.to(DEVICE), guide.to(DEVICE), strips).cpu()
    torch.testing.assert_close(given, expected, rtol=1e-5, atol=1e-5)
    assert not given.equal(expected)


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


@pytest.mark.parametrize('plus', [None, 'float32', 'same'])
@pytest.mark.parametrize('dtype', DTYPES)
def test_fuse_channels(kernels, dtype, plus):
    """Of widths above and below what is multiplied at a time; more pixels than one."""
    if dtype == torch.bfloat16 and DEVICE.type == 'cpu':
        pytest.skip('the interpreter does not multiply matrices of bfloat16')
    inputs = [features(dtype, 2, 7, 11), features(dtype, 2, 7, 11, seed=1)[:, :6]]
    inputs.insert(0, torch.cat((inputs[0],) * 3, dim=1) * 0.7)
    weight = features(dtype, 20, 70, 1, seed=2).flatten(1)[:, :70] / 20
    bias = weight[:, 0]
    if plus is not None:
        kind = dtype if plus == 'same' else torch.float32
        plus = features(kind, 2, 7, 11, seed=3).repeat(1, 2, 1, 1)[:, :20]
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
    frames = torch.rand(2, 3, 3, 5, 7, generator=generator).to(DEVICE)
    filters = torch.randn(6, (scale * kernel_size) ** 2, 5, 7, generator=generator)
    filters = filters.to(DEVICE, dtype, memory_format=torch.channels_last)
    filters = filters.unflatten(0, (2, 3))
    given = kernels.dynamic_upsample(frames, filters, kernel_size, scale)
    upsampling = FlowGuidedDynamicUpsampling(kernel_size, scale)
    expected = upsampling(frames.double(), filters.double())
    assert_close(given, expected, torch.float32)


NAMES = [
    'normalise',
    'warp_channels',
    'depthwise',
    'gated_depthwise',
    'channel_sums',
    'channel_mixing',
    'dense_layer',
    'activated_sum',
    'fuse_channels',
    'dynamic_upsample',
]


@pytest.mark.parametrize('name', NAMES)
def test_shapes_can_be_followed_without_computing(kernels, name):
    x = features(torch.bfloat16)
    taps = random_taps(WIDTH, torch.bfloat16)
    project = torch.ones(6, 6, dtype=torch.bfloat16, device=DEVICE)
    sums = torch.ones(2, 3, 2, 18, 16, device=DEVICE)
    rows = torch.arange(5, device=DEVICE).unsqueeze(1)
    arguments = dict(
        normalise=(x, CHANNELS, True, 1e-5),
        warp_channels=(x, x[:, :15], rows, CHANNELS),
        depthwise=(x, taps),
        gated_depthwise=(x, taps),
        channel_sums=(x, x, 2),
        channel_mixing=(sums, project[0], project, 8, 1e-12),
        dense_layer=([x, x[:, :8]], 8, 0.2),
        activated_sum=(x.unsqueeze(1), x, None, 0.2),
        fuse_channels=([x, x[:, :8]], taps.new_ones(4, 24), None, None),
        dynamic_upsample=(x.unflatten(1, (1, 16))[:, :, :3], x[:, None, :4], 1, 2),
    )[name]
    operation = getattr(torch.ops.fmanet_mm, name)
    torch.library.opcheck(
        operation, arguments, test_utils=('test_schema', 'test_faketensor')
    )


def test_some_are_tried_before_they_are_used(kernels):
    kernels.try_kernels(DEVICE)


COMPILE = """\
import re
import subprocess
import sys
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fmanet_mm.ops.triton_kernels import (attention, convolutions, elementwise, fusion,
                                          upsampling, warp)

POINTERS = dict(x='*bf16', out='*bf16', flow_masks='*bf16', rows='*i64', taps='*bf16',
                query='*bf16', key='*bf16', sums='*fp32', temperature='*bf16',
                project='*bf16', eps='fp32', least_square='fp32', weight='*bf16',
                inputs=('*bf16', '*bf16'), bias='*bf16', plus='*fp32', shared='*bf16',
                other='*bf16', frames='*fp32', kernels='*bf16')
CONSTANTS = dict(CENTRED=True, PIXELS=16, WIDTH=128, ROWS=16, CHANNELS=32, SIZE=16,
                 PRECISION='tf32', PARTS=32, ELEMENTS=1024, WIDTHS=(48, 24), GROWTH=24,
                 SLOPE=0.2, IN_WIDTH=72, OUT_WIDTH=96, STEP=32, SCALE=4, FILTERS=16)
STEPS = ('width', 'channels', 'taps_stride', 'frame_stride', 'row_stride',
         'pixel_stride')
USAGE = Path(triton.__file__).parent / 'backends/nvidia/bin/cuobjdump'
for kernel, warps, changes in (
    (elementwise._normalise, 4, {}),
    (warp._warp, 4, {}),
    (convolutions._depthwise, 4, dict(GATED=False)),
    (convolutions._depthwise, 4, dict(GATED=True)),
    (attention._channel_sums, 1, dict(PIXELS=64)),
    (attention._channel_mixing, 8, {}),
    (elementwise._dense_layer, 4, dict(parts=('*bf16', '*bf16'))),
    (elementwise._activated_sum, 4, {}),
    (fusion._fuse_channels, 4, dict(PIXELS=64)),
    (upsampling._dynamic_upsample, 4, dict(SIZE=5)),
):
    names = kernel.arg_names
    constants = {n: c for n, c in (CONSTANTS | changes).items()
                 if n in names and n.isupper()}
    signature = {n: (POINTERS | changes).get(n, 'i32') for n in names}
    signature.update(dict.fromkeys(constants, 'constexpr'))
    aligned = [
        i for i, n in enumerate(names) if signature[n][0] == '*' or n in STEPS
    ]
    attributes = {(i,): [['tt.divisibility', 16]] for i in aligned}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    target, options = GPUTarget('cuda', 90, 32), dict(num_warps=warps)
    binary = triton.compile(source, target=target, options=options).asm['cubin']
    Path(sys.argv[1]).write_bytes(binary)
    usage = subprocess.run(
        [USAGE, '-res-usage', sys.argv[1]], capture_output=True, text=True, check=True
    )
    print(len(binary), *re.findall(r'(?:STACK|LOCAL):(\\d+)', usage.stdout))
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='the assembler comes for Linux')
def test_they_compile_for_a_gpu_that_is_not_there(tmp_path):
    """And all they compute stays in registers."""
    environment = {**os.environ, 'TRITON_CACHE_DIR': str(tmp_path)}
    environment.pop('TRITON_INTERPRET', None)
    done = subprocess.run(
        [sys.executable, '-c', COMPILE, tmp_path / 'kernel.cubin'],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    compiled = [list(map(int, line.split())) for line in done.stdout.splitlines()]
    assert len(compiled) == len(NAMES)
    for size, *memory in compiled:
        assert size > 1000
        assert memory == [0, 0], compiled
