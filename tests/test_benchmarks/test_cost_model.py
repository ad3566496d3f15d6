"""Predicted costs: against measured ones, and within bounds.

``tests/data/operations.json`` has the operations of a frame of 180x320, with weights in
bfloat16, as the package was when its frames were measured: how often each was called,
its name, and shape, strides and type of its inputs and outputs.
"""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

BENCHMARKS = Path(__file__).parents[2] / 'benchmarks'
RECORDED = Path(__file__).parents[1] / 'data/operations.json'

SIZE = 180, 320

MOST = dict(
    launches=980,
    gigabytes=25.5,
    device_ms=15.4,
    eager_ms=16.7,
    tensor_gib=0.62,
)
"""Of a frame of a stream, with weights in bfloat16, and a little more.

Lower them with the costs.
"""


@pytest.fixture(scope='module')
def model():
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module('cost_model')
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope='module')
def networks(model):
    return importlib.import_module('networks')


@pytest.fixture(scope='module')
def recorded(model):
    """The kernels of encoding a frame and of refining a window."""

    def specs(rows):
        return tuple(model.Spec(tuple(row[0]), tuple(row[1]), row[2]) for row in rows)

    def operations(rows):
        for count, name, inputs, outputs in rows:
            operation = model.Operation(name, specs(inputs), specs(outputs))
            yield from [operation] * count

    parts = json.loads(RECORDED.read_text())
    return model.FrameCost(
        *(list(model.kernels(operations(parts[part]))) for part in parts)
    )


def kernels(model, call, tf32=False):
    with model.without_gpu():
        _, operations = model.record(call)
    return list(model.kernels(operations, tf32))


def milliseconds(model, call, tf32=False):
    return model.Cost.of(kernels(model, call, tf32)).device_ms


def image(channels, dtype=torch.bfloat16, frames=3):
    shape = frames, channels, *SIZE
    return torch.empty(shape, dtype=dtype, memory_format=torch.channels_last)


def test_measured_times_of_a_frame_are_predicted(model, recorded):
    encode, refine = map(model.Cost.of, recorded[:2])
    assert encode.device_ms == pytest.approx(11.1, rel=0.05), 'in a CUDA graph'
    assert encode.eager_ms == pytest.approx(19.7, rel=0.05)
    assert encode.launches == pytest.approx(1_574, rel=0.25)
    assert refine.device_ms == pytest.approx(101.8, rel=0.05), 'in a CUDA graph'
    assert refine.eager_ms == pytest.approx(106.6, rel=0.1)
    assert refine.launches == pytest.approx(2_695, rel=0.25)
    assert recorded.eager_ms == pytest.approx(137, rel=0.25)


@pytest.mark.parametrize(
    ('part', 'kinds', 'launches', 'ms'),
    [
        ('encode', ['cat'], 161, 2.0),
        ('encode', ['convolution', 'convolution 1x1', 'padding'], None, 5.6),
        ('refine', ['matrix product'], None, 43.5),
        ('refine', ['layer norm'], 2 * 72, 22.5),
        ('refine', ['depth-wise'], 120, 3.0),
        ('refine', ['copy'], 417, 5.8),
        ('refine', ['grid sample'], 17, 1.1),
        ('refine', ['elementwise'], None, 8),
    ],
)
def test_measured_times_of_kinds_are_predicted(
    model, recorded, part, kinds, launches, ms
):
    cost = model.Cost.of(k for k in getattr(recorded, part) if k.kind in kinds)
    assert cost.launches == (launches or cost.launches)
    assert cost.device_ms == pytest.approx(ms, rel=0.15)


@pytest.mark.parametrize(
    ('autocast', 'measured'),
    [(None, dict(fp32=195, tf32=135)), (torch.bfloat16, dict(bf16=103))],
)
def test_measured_times_of_the_published_form_are_predicted(
    model, networks, autocast, measured
):
    network = networks.build_plain(False, torch.device('meta')).eval()
    with model.without_gpu(autocast):
        model.to_gpu(network, torch.float32)
        window = torch.empty(1, 3, 3, *SIZE)
        _, operations = model.record(lambda: network(window))
    for dtype, ms in measured.items():
        cost = model.Cost.of(model.kernels(operations, tf32=dtype == 'tf32'))
        assert cost.eager_ms == pytest.approx(ms, rel=0.2)


@pytest.mark.parametrize(
    ('dtype', 'tf32', 'channels', 'measured'),
    [
        (torch.bfloat16, False, 90, 115),
        (torch.bfloat16, False, 96, 320),
        (torch.bfloat16, False, 128, 491),
        (torch.float32, True, 90, 77),
        (torch.float32, True, 96, 176),
        (torch.float32, True, 128, 278),
    ],
)
def test_measured_rates_of_convolutions(model, dtype, tf32, channels, measured):
    def convolve():
        weight = torch.empty(channels, channels, 3, 3, dtype=dtype)
        nn.functional.conv2d(image(channels, dtype), weight, padding=1)

    started = kernels(model, convolve, tf32)
    (convolution,) = (k for k in started if k.kind == 'convolution')
    assert convolution.flops == 2 * 9 * channels**2 * 3 * 180 * 320
    rate = convolution.flops / (convolution.ms - model.KERNEL_US / 1e3) / 1e9
    assert rate == pytest.approx(measured)
    kinds = sorted(k.kind for k in started)
    paddings = 3 if channels == 90 and not (tf32 and channels % 4 == 0) else 0
    assert kinds == ['convolution', 'copy', *['padding'] * paddings], 'of the weight'


def test_narrow_convolutions_take_the_time_of_a_tile(model):
    def convolve(outputs):
        weight = torch.empty(outputs, 960, 3, 3, dtype=torch.bfloat16)
        return lambda: nn.functional.conv2d(image(960), weight, padding=1)

    with model.without_gpu():
        narrow, tile = (convolve(outputs) for outputs in (8, 32))
        recorded = [model.record(call)[1] for call in (narrow, tile)]
    times = [list(model.kernels(operations))[-1].ms for operations in recorded]
    assert times[0] == pytest.approx(times[1])


def test_products_take_as_long_as_their_inner_side(model):
    def product(dtype, parts=1):
        rows = 6 * parts, 15, 57_600 // parts
        a = torch.empty(rows, dtype=dtype)
        return lambda: a @ a.mT

    with model.without_gpu():
        calls = (
            product(torch.float32),
            product(torch.bfloat16),
            product(torch.float32, parts=90),
        )
        single, half, split = (model.record(call)[1] for call in calls)
    (single,), (half,), (split,) = map(model.kernels, (single, half, split))
    assert single.ms == pytest.approx(43.5 / 24, rel=0.01)
    assert half.ms == pytest.approx(single.ms / 4, rel=0.01)
    assert single.flops == split.flops == 2 * 6 * 15 * 15 * 57_600
    moved = 2 * 6 * 15 * 57_600 * 4 + 6 * 15 * 15 * 4
    assert single.bytes == moved
    assert split.ms < 0.025


@pytest.mark.parametrize(
    ('dtype', 'tf32', 'rate'),
    [(torch.bfloat16, False, 38), (torch.float32, True, 25)],
)
def test_unaligned_products_are_as_slow_as_convolutions(model, dtype, tf32, rate):
    def multiply(channels):
        pixels = torch.empty(57_600, channels, dtype=dtype)
        return lambda: pixels @ torch.empty(channels, 2 * channels, dtype=dtype)

    with model.without_gpu():
        odd, even = (model.record(multiply(channels))[1] for channels in (89, 96))
    (odd,), (even,) = (model.kernels(operations, tf32) for operations in (odd, even))
    assert odd.flops == 2 * 57_600 * 89 * 178
    assert odd.ms == pytest.approx(odd.flops / rate / 1e9 + model.KERNEL_US / 1e3)
    assert even.ms < odd.ms / 1.5


def test_layer_norms_of_odd_rows_take_long(model):
    def normalise(channels):
        x = torch.empty(1, *SIZE, channels, dtype=torch.bfloat16)
        return lambda: nn.functional.layer_norm(x, [channels])

    with model.without_gpu():
        odd, even = (model.record(normalise(channels))[1] for channels in (90, 96))
    odd, even = (list(model.kernels(operations)) for operations in (odd, even))
    assert sum(kernel.ms for kernel in odd) == pytest.approx(22.5 / 72, rel=0.01)
    assert len(even) == 1
    assert even[0].ms < 0.05


def test_bytes_and_launches(model):
    pixels = 180 * 320

    def call():
        x = torch.empty(1, 8, *SIZE)
        x.view(8, -1).mT[:, 2:].unsqueeze(1)  # starts nothing
        x.mul_(2)  # reads and writes
        torch.empty(1, 8, *SIZE).copy_(x)
        x + torch.empty(8, 1, 1)  # the smaller operand is read once
        x + torch.empty(1).expand(1, 8, *SIZE)
        x.half()

    array = 8 * pixels * 4
    expected = [2 * array, 2 * array, 2 * array + 32, 2 * array + 4, array * 3 // 2]
    started = kernels(model, call)
    assert [kernel.bytes for kernel in started] == expected
    first = started[0]
    assert first.ms == pytest.approx(2 * array / 2908e6 + model.KERNEL_US / 1e3)


def test_transposing_copies_are_slow(model):
    def copies():
        x = torch.empty(1, 64, *SIZE)
        x.clone()
        x.contiguous(memory_format=torch.channels_last)

    same, transposed = kernels(model, copies)
    assert same.bytes == transposed.bytes
    fixed = model.KERNEL_US / 1e3
    ratio = (transposed.ms - fixed) / (same.ms - fixed)
    assert ratio == pytest.approx(model.COPY_GBS / model.TRANSPOSE_GBS)


class Doubled(nn.Module):
    """A window network that makes frames of twice the size."""

    num_frames, scale = 3, 2

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.register_buffer('gain', torch.ones(1))
        self.register_buffer('steps', torch.arange(2))

    def encode(self, frame, strips):
        return self.conv(frame)

    def refine(self, window, strips):
        mean = torch.stack(tuple(window)).mean(0) * self.gain
        return nn.functional.interpolate(mean[:, :3], scale_factor=2)


@pytest.mark.parametrize(('dtype', 'autocast'), [('bf16', False), ('fp16', True)])
def test_any_window_network_is_predicted_and_left_as_it_is(model, dtype, autocast):
    network = Doubled()
    cost = model.frame_cost(network, 24, 32, dtype, autocast)
    kinds = [kernel.kind for kernel in cost.encode]
    if autocast:
        assert kinds.count('copy') == 3, 'frame, weight and bias are cast'
    else:
        assert 'copy' not in kinds
    assert kinds.count('convolution') == 1
    assert [kernel.kind for kernel in cost.refine] == ['cat', *['elementwise'] * 3]
    assert network.conv.weight.device.type == 'cpu'
    assert network.conv.weight.dtype == torch.float32
    assert not torch.is_autocast_enabled('cuda')


def test_a_batch_starts_the_kernels_of_a_frame(model):
    single, batch = (
        model.frame_cost(Doubled(), 24, 32, batch_size=size) for size in (1, 3)
    )
    kinds = [[kernel.kind for kernel in cost.encode] for cost in (single, batch)]
    assert kinds[0] == kinds[1]
    gathered, *refined = batch.refine
    # 5 frames of 8 channels, read and written, make 3 windows.
    assert gathered.kind == 'cat' and gathered.bytes == 2 * 5 * 8 * 24 * 32 * 2
    assert [k.kind for k in refined] == [k.kind for k in single.refine]
    assert refined[-1].bytes == 3 * single.refine[-1].bytes


def test_cost_of_a_frame_is_bounded(model, networks):
    pytest.importorskip('triton', reason='without fused kernels a frame costs more')
    network = networks.build_package(False, torch.device('meta')).eval()
    cost = model.frame_cost(network, *SIZE)
    total = cost.total
    assert total.launches <= MOST['launches']
    assert total.bytes / 1e9 <= MOST['gigabytes']
    assert total.device_ms <= MOST['device_ms']
    assert cost.eager_ms <= MOST['eager_ms']
    assert cost.tensor_bytes / 2**30 <= MOST['tensor_gib']


def test_table_has_kinds_and_sums(model):
    encode = [model.Kernel('copy', 10**9, 0, 1.5), model.Kernel('copy', 0, 0, 0.5)]
    refine = [model.Kernel('matrix product', 0, 4 * 10**9, 0.005)]
    text = model.table(model.FrameCost(encode, refine, 3 * 2**28))
    assert [line.split() for line in text.splitlines()] == [
        'encode launches GB GFLOP ms'.split(),
        'copy 2 1.00 0 2.00'.split(),
        'all 2 1.00 0 2.00'.split(),
        'launching takes 0.0 ms'.split(),
        'refine launches GB GFLOP ms'.split(),
        'matrix product 1 0.00 4 0.01'.split(),
        'all 1 0.00 4 0.01'.split(),
        'launching takes 0.0 ms'.split(),
        'frame: 3 launches, 1.0 GB, 4 GFLOP; 2.0 ms, 2.0 ms in a CUDA graph; '
        'tensors of 0.75 GiB without'.split(),
    ]


def test_command_refuses_a_size_that_is_none(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['cost_model.py', '--size', '180'])
    with pytest.raises(SystemExit):
        model.main()
    assert "must be HxW, such as 180x320, got '180'" in capsys.readouterr().err


def test_command_prints_the_table(model, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['cost_model.py', '--size', '24x32'])
    monkeypatch.setattr(model, 'build_package', lambda tiny, device: Doubled())
    model.main()
    assert capsys.readouterr().out == (
        model.table(model.frame_cost(Doubled(), 24, 32)) + '\n'
    )


def test_command_prints_the_time_of_a_frame_of_a_batch(model, monkeypatch, capsys):
    arguments = ['cost_model.py', '--size', '720x1280', '--batch', '2']
    monkeypatch.setattr(sys, 'argv', arguments)
    monkeypatch.setattr(model, 'build_package', lambda tiny, device: Doubled())
    model.main()
    cost = model.frame_cost(Doubled(), 720, 1280, batch_size=2)
    assert cost.total.device_ms > 0.2
    eager, device = f'{cost.eager_ms / 2:.1f}', f'{cost.total.device_ms / 2:.1f}'
    assert capsys.readouterr().out == (
        f'{model.table(cost)}\n'
        f'a frame of the batch: {eager} ms, {device} ms in a CUDA graph\n'
    )
