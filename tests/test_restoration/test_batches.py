"""Streams of which several frames are computed at once."""

import pytest
import torch
from helpers import tiny_network
from torch import nn

from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.ops import Strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration import StreamingRestorer
from fmanet_mm.restoration.adapters import WindowFunction
from fmanet_mm.restoration.batches import (
    fastest_batch,
    in_batches,
    split_batch,
    stack_windows,
)
from fmanet_mm.restoration.memory import streaming_peak_bytes

CPU, GPU = torch.device('cpu'), torch.device('cuda')


@pytest.fixture(scope='module')
def network():
    return tiny_network()


def make_frames(num_frames, height=9, width=13, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    size = (num_frames, 3, height, width)
    return torch.rand(size, generator=generator, dtype=dtype)


def restore(network, frames, **settings):
    return list(StreamingRestorer(network, **settings).restore(frames))


@pytest.fixture
def computed(monkeypatch):
    """Frames of each call of encode and refine, but for those without data."""
    calls = dict(encode=[], refine=[])

    def count(name, find_image):
        function = getattr(WindowRestoration, name)

        def counting(self, argument, strips):
            image = find_image(argument)
            if not image.is_meta:
                calls[name].append(len(image))
            return function(self, argument, strips)

        monkeypatch.setattr(WindowRestoration, name, counting)

    count('encode', lambda frames: frames)
    count('refine', lambda window: window[0].image)
    return calls


@pytest.fixture
def fails(monkeypatch):
    """Lets calls of refine run out of memory, by their numbers."""
    refine, calls, numbers = WindowRestoration.refine, [], set()

    def failing(self, window, strips):
        calls.append((len(window[0].image), strips.rows))
        if len(calls) in numbers:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return refine(self, window, strips)

    def fail_at(*counts):
        numbers.update(counts)
        monkeypatch.setattr(WindowRestoration, 'refine', failing)
        return calls

    return fail_at


# Batches


@pytest.mark.parametrize(
    ('size', 'frames'),
    [
        ((180, 320), 1),
        ((720, 1280), 1),
        ((160, 240), 2),
        ((144, 176), 2),
        ((90, 160), 4),
        ((80, 90), 8),
        ((24, 32), 8),
    ],
)
def test_small_frames_are_computed_at_once_on_a_gpu(size, frames):
    assert fastest_batch(*size, GPU) == frames
    assert fastest_batch(*size, CPU) == 1


@pytest.mark.parametrize(('count', 'last'), [(0, None), (1, 1), (3, 3), (7, 1)])
def test_items_come_in_batches(count, last):
    batches = list(in_batches(range(count), lambda: 3))
    assert sum(batches, []) == list(range(count))
    assert all(len(batch) == 3 for batch in batches[:-1])
    assert not batches or len(batches[-1]) == last


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield from range(4)
        raise ValueError('damaged')

    batches = in_batches(items(), lambda: 3)
    assert [next(batches), next(batches)] == [[0, 1, 2], [3]]
    with pytest.raises(ValueError, match='damaged'):
        next(batches)


def test_windows_are_gathered_from_the_frames_that_they_share():
    frames = [(torch.tensor([[n]]), [torch.tensor([10 * n])]) for n in range(4)]
    window = stack_windows([frames[i : i + 3] for i in range(2)])
    assert [number.tolist() for number, _ in window] == [
        [[0], [1]],
        [[1], [2]],
        [[2], [3]],
    ]
    assert [tens.tolist() for _, (tens,) in window] == [[0, 10], [10, 20], [20, 30]]
    assert len({tens.untyped_storage().data_ptr() for _, (tens,) in window}) == 1
    alone = stack_windows([frames[:3]])
    assert all(given is frame for given, frame in zip(alone, frames, strict=False))


def test_frames_of_a_batch_share_its_memory():
    batch = torch.arange(6).view(3, 2), [torch.arange(3)]
    parts = split_batch(batch, 2)
    assert [part[0].tolist() for part in parts] == [[[0, 1]], [[2, 3]]]
    assert [part[1][0].tolist() for part in parts] == [[0], [1]]
    assert parts[1][0].untyped_storage().data_ptr() == batch[0].data_ptr()


# Streams


@pytest.mark.parametrize(
    ('num_frames', 'clip_length', 'batch_size'),
    [(1, 4, 3), (3, 1, 2), (3, 7, 2), (3, 7, 3), (3, 5, 8), (5, 2, 4), (5, 9, 2)],
)
def test_equals_frames_one_by_one(num_frames, clip_length, batch_size):
    network = tiny_network(num_frames=num_frames).double()
    frames = make_frames(clip_length, 5, 7, dtype=torch.float64)
    given = restore(network, frames, batch_size=batch_size)
    assert len(given) == clip_length
    torch.testing.assert_close(given, restore(network, frames), rtol=0, atol=1e-12)


@pytest.mark.parametrize('length', [1, 3, 5])
def test_every_batch_has_the_same_size(network, computed, length):
    restorer = StreamingRestorer(network, batch_size=3)
    assert len(list(restorer.restore(make_frames(length)))) == length
    batches = -(-length // 3)
    assert computed == dict(encode=[3] * batches, refine=[3] * batches)


def test_a_clip_may_begin_a_batch_later(network):
    """The other frames of a batch change no bit, nor does where the clip begins."""
    frames = make_frames(8)
    complete = restore(network, frames, batch_size=3)
    part = restore(network, frames[3:], batch_size=3)
    torch.testing.assert_close(part[1:], complete[4:], rtol=0, atol=0)


def test_reads_no_further_than_a_batch_needs(network):
    taken = 0

    def source():
        nonlocal taken
        for frame in make_frames(9):
            taken += 1
            yield frame

    reads = []
    for _ in StreamingRestorer(network, batch_size=2).restore(source()):
        reads.append(taken)
    # Windows of frames 0 and 1 need frame 2, which is encoded with frame 3.
    assert reads == [4, 4, 6, 6, 8, 8, 9, 9, 9]


@pytest.mark.parametrize('batch_size', [1, 2, 4])
def test_frames_before_an_error_are_restored(network, batch_size):
    def source():
        yield from make_frames(5)
        raise OSError('gone')

    given = []
    with pytest.raises(OSError, match='gone'):
        for frame in StreamingRestorer(network, batch_size=batch_size).restore(
            source()
        ):
            given.append(frame)
    expected = restore(network, make_frames(5))[:4]
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


def test_strips_are_computed_frame_by_frame(network, computed):
    frames = make_frames(3, height=40)
    restorer = StreamingRestorer(network, memory_budget=1e-6, batch_size=2)
    given = list(restorer.restore(frames))
    assert (restorer.strips, restorer.batch_size) == (Strips(10), 1)
    assert computed == dict(encode=[1] * 3, refine=[1] * 3)
    torch.testing.assert_close(given, restore(network, frames), rtol=0, atol=1e-4)


@pytest.mark.parametrize('batch_size', [0, -2])
def test_bad_sizes_are_refused(network, batch_size):
    with pytest.raises(ValueError, match=f'batch_size must be 1 or more.*{batch_size}'):
        StreamingRestorer(network, batch_size=batch_size)


def test_networks_that_take_one_frame_at_a_time_are_given_one():
    function = WindowFunction(nn.Flatten(1, 2), 1, 1)
    assert StreamingRestorer(function).period(24, 32) == 1
    assert StreamingRestorer(function, batch_size=1).period(24, 32) == 1
    with pytest.raises(ValueError, match='WindowFunction takes one.*takes_batches'):
        StreamingRestorer(function, batch_size=2)


# Half precision


def test_only_the_frame_that_is_not_finite_is_computed_in_float32(network, capsys):
    frames = make_frames(6)
    settings = dict(autocast_dtype=torch.bfloat16, batch_size=4)
    expected = restore(network, frames, **settings)
    restorer = StreamingRestorer(network, **settings)
    prepared, calls = restorer.prepared, 0
    refine = prepared.refine

    def overflow(window, strips):
        nonlocal calls
        if window[0].image.is_meta:
            return window[0].image  # the memory does not matter here
        calls += 1
        restored = refine(window, strips)
        if calls == 1:
            restored[2, 0, 3, 4] = torch.inf
        return restored

    prepared.refine = overflow
    given = list(restorer.restore(frames))
    in_float32 = restore(network, frames)[2]
    torch.testing.assert_close(given[2], in_float32, rtol=0, atol=1e-5)
    assert not torch.equal(expected[2].float(), in_float32)
    del given[2], expected[2]
    torch.testing.assert_close(given, expected, rtol=0, atol=0)
    assert restorer.batch_size == 4
    assert capsys.readouterr().out.count('computed again in fp32') == 1


# Memory


@pytest.mark.parametrize(('num_frames', 'batch_size'), [(3, 2), (3, 3), (5, 2)])
def test_estimate_is_what_a_stream_takes(num_frames, batch_size):
    network = tiny_network(num_frames=num_frames, scale=4)
    restorer = StreamingRestorer(network, batch_size=batch_size)
    frames = make_frames(4 * batch_size + num_frames, 24, 16)
    list(restorer.restore(frames[:1]))  # plans, without data
    with LiveBytes() as tensors:
        for _ in restorer.restore(frames):
            pass
    assert restorer.batch_size == batch_size
    # A stream hides what operations are made of, some of which copy for themselves.
    assert tensors.peak <= restorer.peak_bytes(24, 16) <= 1.15 * tensors.peak


def test_the_estimate_is_the_same_in_inference_mode(network):
    expected = streaming_peak_bytes(network, 24, 16, batch_size=2)
    with torch.inference_mode():
        assert streaming_peak_bytes(network, 24, 16, batch_size=2) == expected


def test_graphs_keep_windows_of_their_own(network):
    size = 24, 16
    form = network.inference_form()
    frame = form.encode(torch.zeros(1, 3, *size))
    encoded = sum(x.nbytes for x in [frame.image, *frame.features_d, *frame.features_r])
    for batch_size in (1, 4):
        peaks = [
            streaming_peak_bytes(form, *size, graphs=graphs, batch_size=batch_size)
            for graphs in (False, True)
        ]
        assert peaks[1] - peaks[0] == 3 * batch_size * encoded


def test_a_batch_that_does_not_fit_is_not_computed(network, computed):
    frames = make_frames(3)
    single = StreamingRestorer(network).peak_bytes(9, 13)
    batch = StreamingRestorer(network, batch_size=3).peak_bytes(9, 13)
    assert batch > 2 * single
    for budget, expected in ((batch + 1, 3), (batch - 1, 1)):
        restorer = StreamingRestorer(network, budget / 2**30, batch_size=3)
        assert restorer.peak_bytes(9, 13) == (batch if expected == 3 else single)
        assert len(list(restorer.restore(frames))) == 3
        assert (restorer.batch_size, restorer.strips) == (expected, Strips())
    assert computed['refine'] == [3, 1, 1, 1]


def test_continues_frame_by_frame_when_memory_runs_out(network, fails, capsys):
    frames = make_frames(6)
    expected = restore(network, frames)
    calls = fails(2 + 2)  # two of them only measure
    restorer = StreamingRestorer(network, batch_size=3)
    given = list(restorer.restore(frames))
    assert calls[2:] == [(3, None), (3, None), *[(1, None)] * 3]
    assert restorer.batch_size == 1
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    list(restorer.restore(frames))
    message = 'memory ran out: continuing with one frame at a time'
    assert capsys.readouterr().out.count(message) == 1


def test_continues_on_strips_when_a_single_frame_does_not_fit(network, fails):
    frames = make_frames(2, height=40)
    expected = restore(network, frames)
    calls = fails(2 + 1, 2 + 2)
    given = restore(network, frames, batch_size=2)
    assert calls[2:] == [(2, None), (1, None), (1, 20), (1, 20)]
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-4)


def test_other_errors_of_a_batch_are_not_retried(network, monkeypatch):
    def fail(*_):
        raise RuntimeError('a bug')

    monkeypatch.setattr(WindowRestoration, 'encode', fail)
    with pytest.raises(RuntimeError, match='a bug'):
        restore(network, make_frames(3), memory_budget=1, batch_size=2)
