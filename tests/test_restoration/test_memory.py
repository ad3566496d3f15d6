from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers import tiny_network

from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration import StreamingRestorer
from fmanet_mm.restoration.memory import (
    choose_strips,
    free_bytes,
    is_out_of_memory,
    streaming_peak_bytes,
)

SIZE = 96, 16


@pytest.fixture(scope='module')
def model():
    return tiny_network(scale=4)


@torch.no_grad()
def real_peak(model, height, width, strips):
    frames = torch.rand(3, 1, 3, height, width)
    with LiveBytes() as tensors:
        model.refine([model.encode(frame, strips) for frame in frames], strips)
    return tensors.peak


@pytest.mark.parametrize('rows', [None, 24, 8])
def test_estimate_is_what_a_real_frame_takes(model, rows):
    estimate = streaming_peak_bytes(model, *SIZE, Strips(rows))
    assert estimate == pytest.approx(real_peak(model, *SIZE, Strips(rows)), rel=0.03)


def test_estimate_under_autocast(model):
    estimate = streaming_peak_bytes(model, *SIZE, Strips(24), torch.bfloat16)
    with torch.autocast('cpu', torch.bfloat16):
        real = real_peak(model, *SIZE, Strips(24))
    assert estimate == pytest.approx(real, rel=0.1)
    assert estimate < 0.95 * streaming_peak_bytes(model, *SIZE, Strips(24))


def test_a_restorer_states_the_memory_of_the_strips_it_would_take(model):
    whole = streaming_peak_bytes(model, *SIZE)
    half = StreamingRestorer(model, autocast_dtype=torch.bfloat16)
    assert StreamingRestorer(model).peak_bytes(*SIZE) == whole
    assert half.peak_bytes(*SIZE) == streaming_peak_bytes(
        model, *SIZE, dtype=torch.bfloat16
    )
    low = StreamingRestorer(model, memory_budget=1e-9)
    assert low.peak_bytes(*SIZE) == streaming_peak_bytes(model, *SIZE, Strips(12))


def test_the_model_is_left_alone(model):
    streaming_peak_bytes(model, *SIZE, dtype=torch.bfloat16)
    for parameter in model.parameters():
        assert (parameter.device.type, parameter.dtype) == ('cpu', torch.float32)


def test_strips_get_as_low_as_the_budget_asks(model):
    whole = streaming_peak_bytes(model, *SIZE)
    quarter = streaming_peak_bytes(model, *SIZE, Strips(24))
    assert quarter < 0.9 * whole
    assert choose_strips(model, *SIZE, whole) == WHOLE_FRAMES
    assert choose_strips(model, *SIZE, quarter) == Strips(24)
    assert choose_strips(model, *SIZE, 1) == Strips(12)
    assert choose_strips(model, *SIZE, whole, highest=Strips(40)) == Strips(40)


def test_halving_ends():
    strips, tried = WHOLE_FRAMES, []
    while (strips := strips.halved(90)) is not None:
        tried.append(strips.rows)
    assert tried == [45, 23, 12]


def test_free_memory_leaves_some_over(monkeypatch):
    monkeypatch.setattr(
        psutil, 'virtual_memory', lambda: SimpleNamespace(available=1000)
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
def test_out_of_memory_is_distinguished_from_other_failures(error, expected):
    assert is_out_of_memory(error) == expected


def test_a_real_allocation_that_does_not_fit_is_recognised():
    with pytest.raises(RuntimeError) as failure:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(failure.value)
