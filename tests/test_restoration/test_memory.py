from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from test_lean import build_tiny

from fmanet_mm.models import memory
from fmanet_mm.models.fmanet.refinement_net import stack_window
from fmanet_mm.ops import strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration.memory import (
    choose_strip_rows,
    free_bytes,
    halve_strip_rows,
    is_out_of_memory,
    streaming_peak_bytes,
)

SIZE = 96, 16


@pytest.fixture(scope='module')
def model():
    net_d, net_r = build_tiny()
    return SimpleNamespace(net_d=net_d, net_r=net_r, num_frames=3)


@torch.no_grad()
def real_peak(model, height, width, rows):
    def encode(frame):
        levels = model.net_d.encode(frame)
        return levels, model.net_r.encode(frame, levels[-1])

    frames = torch.rand(3, 1, 3, height, width)
    with strips(rows), LiveBytes() as tensors:
        levels_d, levels_r = zip(*map(encode, frames), strict=True)
        degradation = model.net_d.refine(stack_window(levels_d))
        degradation = replace(degradation, feature=None)
        model.net_r.refine(frames.transpose(0, 1), stack_window(levels_r), degradation)
    return tensors.peak


@pytest.mark.parametrize('rows', [None, 24, 8])
def test_estimate_is_what_a_real_frame_takes(model, rows):
    estimate = streaming_peak_bytes(model, *SIZE, rows)
    assert estimate == pytest.approx(real_peak(model, *SIZE, rows), rel=0.03)


def test_estimate_under_autocast(model):
    estimate = streaming_peak_bytes(model, *SIZE, 24, torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        real = real_peak(model, *SIZE, 24)
    assert estimate == pytest.approx(real, rel=0.1)
    assert estimate < 0.95 * streaming_peak_bytes(model, *SIZE, 24)


def test_the_model_is_left_alone(model):
    streaming_peak_bytes(model, *SIZE, dtype=torch.bfloat16)
    for parameter in (*model.net_d.parameters(), *model.net_r.parameters()):
        assert (parameter.device.type, parameter.dtype) == ('cpu', torch.float32)


def test_strips_get_as_small_as_the_budget_asks(model):
    whole = streaming_peak_bytes(model, *SIZE)
    quarter = streaming_peak_bytes(model, *SIZE, 24)
    assert quarter < 0.9 * whole
    assert choose_strip_rows(model, *SIZE, whole) is None
    assert choose_strip_rows(model, *SIZE, quarter) == 24
    assert choose_strip_rows(model, *SIZE, 1) == 12


def test_halving_ends():
    rows, tried = None, []
    while (rows := halve_strip_rows(90, rows)) is not None:
        tried.append(rows)
    assert tried == [45, 23, 12]


def test_free_memory_leaves_some_over(monkeypatch):
    monkeypatch.setattr(
        memory.psutil, 'virtual_memory', lambda: SimpleNamespace(available=1000)
    )
    assert free_bytes(torch.device('cpu')) == 800


@pytest.mark.parametrize(
    ('error', 'expected'),
    [
        (torch.OutOfMemoryError('CUDA out of memory'), True),
        (MemoryError(), True),
        (RuntimeError('DefaultCPUAllocator: not enough memory: you tried'), True),
        (RuntimeError('sizes do not fit'), False),
        (ValueError('DefaultCPUAllocator'), False),
    ],
)
def test_out_of_memory_is_told_from_other_failures(error, expected):
    assert is_out_of_memory(error) == expected


def test_a_real_allocation_that_does_not_fit_is_told():
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(failure.value)
