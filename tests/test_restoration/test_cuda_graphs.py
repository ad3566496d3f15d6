"""Captured functions, with a stand-in for the graphs where there is no GPU."""

import pytest
import torch
from helpers import tiny_network, tiny_pp_network
from torch.utils._pytree import tree_leaves

from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.restoration import LevelRestorer, StreamingRestorer
from fmanet_mm.restoration.batches import split_batch, stack_windows
from fmanet_mm.restoration.cuda_graphs import (
    CapturedCall,
    GraphedLevels,
    GraphedNetwork,
    clone_tensors,
)
from fmanet_mm.restoration.memory import streaming_peak_bytes
from fmanet_mm.utils.levels import restore_by_levels


class StandInGraph:
    """Calls the function again and writes into the tensors of the first call."""

    captured = 0

    def replay(self):
        results = tree_leaves(self.function(self.argument))
        for tensor, result in zip(tree_leaves(self.result), results, strict=True):
            if tensor is not None:
                tensor.copy_(result)


@pytest.fixture
def stand_in(monkeypatch):
    StandInGraph.captured = 0

    def capture(self, function, argument, pool):
        graph = self._graph = StandInGraph()
        graph.function = function
        self._argument = graph.argument = clone_tensors(argument)
        self._result = graph.result = clone_tensors(function(self._argument))
        StandInGraph.captured += 1

    monkeypatch.setattr(CapturedCall, '__init__', capture)


def make_frames(count, height=9, width=13):
    generator = torch.Generator().manual_seed(1)
    return torch.rand((count, 3, height, width), generator=generator)


def restore(network, frames, strips=WHOLE_FRAMES):
    """Windows without repeated ends, all kept until the end."""
    with torch.no_grad():
        encoded = [network.encode(frame[None], strips) for frame in frames]
        return torch.cat(
            [network.refine(encoded[i : i + 3], strips) for i in range(len(frames) - 2)]
        )


def test_captured_calls_give_the_same_and_keep_what_they_gave(stand_in):
    network = tiny_network().inference_form()
    frames = make_frames(6)
    given = restore(GraphedNetwork(network), frames)
    torch.testing.assert_close(given, restore(network, frames), rtol=0, atol=0)
    assert StandInGraph.captured == 2


def test_another_size_is_captured_again(stand_in):
    graphed = GraphedNetwork(tiny_network().inference_form())
    for number, height in enumerate((9, 10, 9), 1):
        frames = make_frames(4, height)
        expected = restore(tiny_network().inference_form(), frames)
        torch.testing.assert_close(restore(graphed, frames), expected, rtol=0, atol=0)
        assert StandInGraph.captured == 2 * number


def test_strips_are_computed_without(stand_in):
    network = tiny_network().inference_form()
    frames = make_frames(4, height=20)
    given = restore(GraphedNetwork(network), frames, Strips(8))
    expected = restore(network, frames, Strips(8))
    torch.testing.assert_close(given, expected, rtol=0, atol=0)
    assert StandInGraph.captured == 0


def test_large_frames_are_computed_without(stand_in, monkeypatch):
    monkeypatch.setattr('fmanet_mm.restoration.memory.GRAPHED_PIXELS', 9 * 13 - 1)
    network = tiny_network().inference_form()
    given = restore(GraphedNetwork(network), make_frames(4))
    torch.testing.assert_close(given, restore(network, make_frames(4)), rtol=0, atol=0)
    assert StandInGraph.captured == 0
    peaks = [
        streaming_peak_bytes(network, 9, 13, graphs=graphs) for graphs in (False, True)
    ]
    assert peaks[0] == peaks[1]


def restore_in_batches(network, frames, size):
    with torch.no_grad():
        encoded = []
        for batch in frames.split(size):
            encoded += split_batch(network.encode(batch, WHOLE_FRAMES), size)
        windows = [encoded[i : i + 3] for i in range(len(frames) - 2)]
        return torch.cat(
            [
                network.refine(stack_windows(windows[i : i + size]), WHOLE_FRAMES)
                for i in range(0, len(windows), size)
            ]
        )


def test_batches_of_another_size_are_captured_again(stand_in):
    network = tiny_network().inference_form()
    frames = make_frames(8)
    graphed = GraphedNetwork(network)
    for number, size in enumerate((2, 1), 1):
        given = restore_in_batches(graphed, frames, size)
        expected = restore_in_batches(network, frames, size)
        torch.testing.assert_close(given, expected, rtol=0, atol=0)
        assert StandInGraph.captured == 2 * number
        graphed.release()


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (torch.OutOfMemoryError('CUDA out of memory'), 'memory ran out'),
        (RuntimeError('the driver is too old'), 'the driver is too old'),
    ],
)
def test_what_cannot_be_captured_is_computed_without(
    monkeypatch, capsys, error, reason
):
    def fail(*_):
        raise error

    monkeypatch.setattr(CapturedCall, '__init__', fail)
    network = tiny_network().inference_form()
    frames = make_frames(5)
    given = restore(GraphedNetwork(network), frames)
    torch.testing.assert_close(given, restore(network, frames), rtol=0, atol=0)
    message = f'without CUDA graphs, which is slower: {reason}'
    assert capsys.readouterr().out.count(message) == 1


def by_levels(network, frames, strips=WHOLE_FRAMES):
    def compute(function, *inputs):
        return function(*inputs, strips)

    with torch.no_grad():
        batches = (frame[None] for frame in frames)
        return torch.cat(list(restore_by_levels(network, batches, compute)))


@pytest.mark.parametrize('options', [{}, dict(exposure=False)], ids=str)
def test_captured_levels_give_the_same_in_every_clip(stand_in, options):
    network = tiny_pp_network(**options).inference_form()
    graphed = GraphedLevels(network)
    for count in (7, 3):
        frames = make_frames(count)
        given = by_levels(graphed, frames)
        # Copies of the first flows have another layout in memory.
        expected = by_levels(network, frames)
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-6)
    assert StandInGraph.captured == 1 + 4 + 1
    by_levels(graphed, make_frames(3), Strips(8))
    assert StandInGraph.captured == 6


def test_levels_that_cannot_be_captured_are_computed_without(monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError('the driver is too old')

    monkeypatch.setattr(CapturedCall, '__init__', fail)
    network = tiny_pp_network().inference_form()
    frames = make_frames(4)
    given = by_levels(GraphedLevels(network), frames)
    torch.testing.assert_close(given, by_levels(network, frames), rtol=0, atol=0)
    assert capsys.readouterr().out.count('the driver is too old') == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_level_graphs_equal_eager_computation_on_a_gpu(dtype):
    restorer = LevelRestorer(tiny_pp_network().cuda(), autocast_dtype=dtype)
    frames = make_frames(12).cuda()
    given = torch.stack(list(restorer.restore(frames)))
    expected = by_levels(restorer.prepared, frames)
    tolerance = 1e-5 if dtype is None else 1e-2
    torch.testing.assert_close(
        given, expected, rtol=0, atol=tolerance, check_dtype=False
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_graphs_equal_eager_computation_on_a_gpu(dtype):
    network = tiny_network().cuda()
    restorer = StreamingRestorer(network, autocast_dtype=dtype, batch_size=1)
    frames = make_frames(6).cuda()
    given = torch.stack(list(restorer.restore(frames)))[1:-1]
    expected = restore(restorer.prepared, frames)
    torch.testing.assert_close(given, expected, rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', [None, torch.bfloat16])
def test_batches_on_a_gpu(dtype):
    """They are near frames that are computed one by one, wherever a clip begins."""
    network = tiny_network().cuda()
    frames = make_frames(12).cuda()
    single, batches = (
        StreamingRestorer(network, autocast_dtype=dtype, batch_size=size)
        for size in (1, 4)
    )
    given = torch.stack(list(batches.restore(frames)))
    expected = torch.stack(list(single.restore(frames)))
    tolerance = 1e-3 if dtype is None else 2e-2
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)
    part = torch.stack(list(batches.restore(frames[4:])))
    torch.testing.assert_close(part[1:], given[5:], rtol=0, atol=0)
    assert batches.batch_size == 4
