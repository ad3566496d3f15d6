import weakref
from collections import Counter
from itertools import pairwise

import pytest
import torch
from helpers import (
    interrupt_at,
    noise_images,
    read_clip,
    same_files,
    tiny_network,
    tiny_pp_network,
    two_shots,
    write_folder,
)
from torch import Tensor

from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration import (
    LevelRestorer,
    RestoreOptions,
    Resume,
    VideoRestorer,
    build_restorer,
)
from fmanet_mm.restoration.images import to_tensor
from fmanet_mm.restoration.levels import level_peak_bytes
from fmanet_mm.utils.levels import restore_by_levels


@pytest.fixture(autouse=True)
def _whole_frames(monkeypatch):
    """Streams begin with whole frames, whatever memory there is."""
    monkeypatch.setattr(
        'fmanet_mm.restoration.streaming.choose_strips', lambda *_: WHOLE_FRAMES
    )


@pytest.fixture(scope='module')
def network():
    return tiny_pp_network()


def make_frames(num_frames, height=9, width=13, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    size = (num_frames, 3, height, width)
    return torch.rand(size, generator=generator, dtype=dtype)


def restore_at_once(network, frames):
    """As in training, where all frames of a level are one batch."""
    with torch.enable_grad():
        return network(frames[None])[0].detach()


@pytest.mark.parametrize('num_frames', [1, 2, 4, 11])
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-5)]
)
def test_a_stream_gives_what_the_clip_gives_at_once(num_frames, dtype, tolerance):
    network = tiny_pp_network().to(dtype)
    frames = make_frames(num_frames, dtype=dtype)
    given = torch.stack(list(LevelRestorer(network).restore(frames)))
    expected = restore_at_once(network, frames)
    assert given.shape == (num_frames, 3, 18, 26) and given.dtype == dtype
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)
    for one, other in pairwise(expected):  # a shift would be seen
        assert (one - other).abs().max() > 0.01


@pytest.mark.parametrize(
    'options',
    [dict(exposure=False), dict(scale=3), dict(ends='zero')],
    ids=str,
)
def test_variants_give_what_the_clip_gives_at_once(options):
    network = tiny_pp_network(**options)
    frames = make_frames(3)
    given = torch.stack(list(build_restorer(network).restore(frames)))
    expected = restore_at_once(network, frames)
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


def watched(network, monkeypatch):
    """Counts the calls of a network by method and level."""
    calls = Counter()

    def watch(name):
        method = getattr(network, name)

        def counting(*inputs):
            calls[name, inputs[0] if name == 'advance' else None] += 1
            return method(*inputs)

        monkeypatch.setattr(network, name, counting)

    for name in ('encode', 'advance', 'decode'):
        watch(name)
    return calls


def test_nothing_is_computed_twice(network, monkeypatch):
    restorer = LevelRestorer(network)
    calls = watched(restorer.prepared, monkeypatch)
    assert len(list(restorer.restore(make_frames(7)))) == 7
    assert set(calls.values()) == {7}
    assert [level for name, level in calls if name == 'advance'] == [0, 1, 2, 3]


def test_an_output_comes_when_the_frames_it_depends_on_have_come(network):
    taken = 0

    def source():
        nonlocal taken
        for frame in make_frames(9):
            taken += 1
            yield frame

    restorer = LevelRestorer(network)
    assert restorer.context == 4
    for index, _ in enumerate(restorer.restore(source())):
        assert taken == min(index + 1 + 4, 9)


def test_memory_does_not_grow_with_the_clip(network, monkeypatch):
    restorer = LevelRestorer(network)
    encode, kept = restorer.prepared.encode, []

    def remembering(*inputs):
        state = encode(*inputs)
        kept.append(weakref.ref(state.feature))
        return state

    monkeypatch.setattr(restorer.prepared, 'encode', remembering)
    for _ in restorer.restore(make_frames(9)):
        # Of the first level, a frame and the features of its neighbours are kept.
        assert sum(feature() is not None for feature in kept) <= 3


def test_clips_do_not_influence_each_other(network):
    restorer = LevelRestorer(network)
    frames = make_frames(6)
    expected = list(restorer.restore(frames[3:]))
    begun = restorer.restore(frames[:3])
    next(begun)
    torch.testing.assert_close(list(restorer.restore(frames[3:])), expected)


def test_an_empty_clip_gives_nothing(network):
    assert list(LevelRestorer(network).restore([])) == []


def test_a_frame_of_another_size_is_named(network):
    frames = [*make_frames(3), *make_frames(1, width=14)]
    with pytest.raises(ValueError, match=r'frame 3 is \(3, 9, 14\)'):
        list(LevelRestorer(network).restore(frames))


def test_a_network_of_windows_is_refused():
    with pytest.raises(ValueError, match='FMANet does not restore frames level by'):
        LevelRestorer(tiny_network())


def test_stage_1_restores_no_video():
    with pytest.raises(ValueError, match='FMANetPPStage1 restores no video'):
        build_restorer(tiny_pp_network(kind='FMANetPPStage1'))


# Precision


def test_half_precision_is_near(network):
    frames = make_frames(6)
    half = LevelRestorer(network, autocast_dtype=torch.bfloat16).restore(frames)
    difference = torch.stack(list(half)) - restore_at_once(network, frames)
    assert 0 < difference.abs().max() < 0.02


@pytest.mark.parametrize('num_frames', [3, 12])
def test_frames_that_overflow_are_restored_in_float32(
    network, monkeypatch, capsys, num_frames
):
    """Whatever an overflow spoils: here the frames that depend on frame 1."""
    frames = make_frames(num_frames)
    restorer = LevelRestorer(network, autocast_dtype=torch.bfloat16)
    encode, calls = restorer.prepared.encode, 0

    def overflow(*inputs):
        nonlocal calls
        calls += 1
        state = encode(*inputs)
        if calls == 2:
            return state._replace(feature=state.feature * torch.inf)
        return state

    monkeypatch.setattr(restorer.prepared, 'encode', overflow)
    given = torch.stack(list(restorer.restore(frames)))
    expected = restore_at_once(network, frames)
    spoiled = slice(0, 6)
    torch.testing.assert_close(given[spoiled], expected[spoiled], rtol=0, atol=1e-5)
    torch.testing.assert_close(given, expected, rtol=0, atol=0.02)
    assert capsys.readouterr().out.count('computed again in fp32') == 1


# Memory


def test_strips_give_the_same(network):
    frames = make_frames(3, height=40)
    restorer = LevelRestorer(network)
    whole = torch.stack(list(restorer.restore(frames)))
    restorer.strips = Strips(9)
    on_strips = torch.stack(list(restorer.restore(frames)))
    torch.testing.assert_close(on_strips, whole, rtol=0, atol=1e-5)


def test_continues_on_lower_strips_when_memory_runs_out(network, monkeypatch, capsys):
    frames = make_frames(3, height=40)
    expected = list(LevelRestorer(network).restore(frames))
    restorer = LevelRestorer(network)
    advance, rows = restorer.prepared.advance, []

    def fail_once(*inputs):
        rows.append(inputs[-1].rows)
        if len(rows) == 2:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return advance(*inputs)

    monkeypatch.setattr(restorer.prepared, 'advance', fail_once)
    given = list(restorer.restore(frames))
    assert rows[:4] == [None, None, 20, 20]
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)
    assert 'strips of 20 rows' in capsys.readouterr().out


def test_a_small_budget_takes_low_strips(network, monkeypatch):
    monkeypatch.undo()
    restorer = LevelRestorer(network, memory_budget=1e-6)
    list(restorer.restore(make_frames(1, height=40)))
    assert restorer.strips == Strips(10)
    assert restorer.peak_bytes(40, 13) == level_peak_bytes(
        restorer.prepared, 40, 13, Strips(10)
    )


@pytest.mark.parametrize('rows', [None, 24])
@torch.no_grad()
def test_estimated_memory_is_what_a_real_clip_takes(rows):
    network = tiny_pp_network(scale=4)
    frames = torch.rand(8, 1, 48, 40, 3).permute(0, 1, 4, 2, 3)

    def compute(function, *inputs: Tensor):
        return function(*inputs, Strips(rows))

    with LiveBytes() as tensors:
        copies = (frame.clone() for frame in frames)
        for _ in restore_by_levels(network, copies, compute):
            pass
    estimate = level_peak_bytes(network, 48, 40, Strips(rows))
    assert estimate == pytest.approx(tensors.peak, rel=0.03)
    half = level_peak_bytes(network, 48, 40, Strips(rows), torch.bfloat16)
    assert half < 0.6 * estimate


# Videos


def restore_folder(network, source, target, **options):
    VideoRestorer(LevelRestorer(network)).restore_video(
        source, target, RestoreOptions(**options)
    )
    return torch.stack([to_tensor(image) for image in read_clip(target)])


def test_nothing_crosses_a_scene_cut(network, tmp_path):
    dark, bright = two_shots()
    source = write_folder(tmp_path / 'in', dark + bright)
    given = restore_folder(network, source, tmp_path / 'out')
    expected = [
        restore_at_once(network, torch.stack([to_tensor(x) for x in shot]))
        for shot in (dark, bright)
    ]
    expected = torch.cat(expected).clamp(0, 1)
    torch.testing.assert_close(given, expected, rtol=0, atol=0.51 / 255)


@pytest.mark.parametrize('number', [1, 6])
def test_an_interrupted_run_is_resumed_exactly(network, tmp_path, number):
    source = write_folder(tmp_path / 'in', noise_images(9))
    restorer = VideoRestorer(LevelRestorer(network))
    options = RestoreOptions(detect_scenes=False)
    restorer.restore_video(source, tmp_path / 'at once', options)
    options = RestoreOptions(detect_scenes=False, resume=Resume(keep_partial=True))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(source, tmp_path / 'out', options, interrupt_at(number))
    options = RestoreOptions(detect_scenes=False, resume=Resume(enabled=True))
    restorer.restore_video(source, tmp_path / 'out', options)
    assert same_files(tmp_path / 'out', tmp_path / 'at once')
