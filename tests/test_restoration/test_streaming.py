import weakref
from collections import Counter

import pytest
import torch
from helpers import tiny_network

from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.restoration import StreamingRestorer


def make_frames(num_frames, height=9, width=13, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    size = (num_frames, 3, height, width)
    return torch.rand(size, generator=generator, dtype=dtype)


@torch.no_grad()
def restore_by_windows(model, frames):
    """The plain way: every window by itself, ends repeated."""
    reach = model.num_frames // 2
    padded = torch.cat((*[frames[:1]] * reach, frames, *[frames[-1:]] * reach))
    windows = padded.unfold(0, model.num_frames, 1).movedim(-1, 1)
    return torch.cat([model(window[None]) for window in windows])


@pytest.fixture
def whole_frames(monkeypatch):
    """Streams begin with whole frames, whatever memory there is."""
    monkeypatch.setattr(
        'fmanet_mm.restoration.streaming.choose_strips', lambda *_: WHOLE_FRAMES
    )


@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float64, 1e-12), (torch.float32, 1e-4)]
)
@pytest.mark.parametrize('clip_length', [1, 2, 6])
@pytest.mark.parametrize('num_frames', [1, 3, 5])
def test_equals_the_window_path(num_frames, clip_length, dtype, tolerance):
    model = tiny_network(num_frames=num_frames).to(dtype)
    frames = make_frames(clip_length, dtype=dtype)
    expected = restore_by_windows(model, frames)
    given = torch.stack(list(StreamingRestorer(model).restore(frames)))
    assert given.shape == (clip_length, 3, 18, 26)
    assert given.dtype == dtype
    torch.testing.assert_close(given, expected, rtol=0, atol=tolerance)
    if clip_length > 1:  # the frames do differ, so a shift would be seen
        assert (expected[1:] - expected[:-1]).abs().amax((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize('scale', [1, 3, 4])
def test_equals_the_window_path_at_other_scales(scale):
    model = tiny_network(scale=scale)
    frames = make_frames(3)
    given = torch.stack(list(StreamingRestorer(model).restore(frames)))
    assert given.shape[2:] == (9 * scale, 13 * scale)
    torch.testing.assert_close(
        given, restore_by_windows(model, frames), rtol=0, atol=1e-4
    )


def test_encodes_every_frame_once(monkeypatch):
    model = tiny_network()
    calls = Counter()

    def count(net, name):
        encode = net.encode

        def counting(frames, *args):
            if not frames.is_meta:  # those are to estimate the memory
                calls[name] += len(frames)
            return encode(frames, *args)

        monkeypatch.setattr(net, 'encode', counting)

    count(model.net_d, 'net_d')
    count(model.net_r, 'net_r')
    assert len(list(StreamingRestorer(model).restore(make_frames(6)))) == 6
    assert calls == dict(net_d=6, net_r=6)


@pytest.mark.parametrize('num_frames', [3, 5])
def test_holds_a_window_of_frames_at_most(num_frames):
    """Frames come in as late, and features go as early, as the window allows."""
    model = tiny_network(num_frames=num_frames)
    taken = 0

    def source():
        nonlocal taken
        for frame in make_frames(10):
            taken += 1
            yield frame

    for index, _ in enumerate(StreamingRestorer(model).restore(source())):
        assert taken == min(index + 1 + num_frames // 2, 10)


def test_keeps_no_features_of_earlier_frames(monkeypatch):
    model = tiny_network()
    encode, kept = model.net_d.encode, []

    def remembering(frames, *args):
        for feature in encode(frames, *args):
            if not feature.is_meta:
                kept.append(weakref.ref(feature))
            yield feature

    monkeypatch.setattr(model.net_d, 'encode', remembering)
    for _ in StreamingRestorer(model).restore(make_frames(8)):
        alive = sum(feature() is not None for feature in kept)
        assert alive <= 3 * (2 + 1)  # T frames, M + 1 levels


def test_clips_do_not_leak_into_each_other():
    model = tiny_network()
    restorer = StreamingRestorer(model)
    frames = make_frames(6)
    expected = list(restorer.restore(frames[3:]))
    begun = restorer.restore(frames[:3])
    next(begun)
    given = list(restorer.restore(frames[3:]))
    for frame, other in zip(given, expected, strict=True):
        torch.testing.assert_close(frame, other, rtol=0, atol=0)


def test_an_empty_clip_gives_nothing():
    assert list(StreamingRestorer(tiny_network()).restore([])) == []


def test_does_not_track_gradients():
    (frame,) = StreamingRestorer(tiny_network()).restore(make_frames(1))
    assert not frame.requires_grad
    assert not torch.is_inference_mode_enabled()


def test_refuses_a_model_of_stage_1():
    with pytest.raises(ValueError, match='FMANetStage1 restores no video.*stage 2'):
        StreamingRestorer(tiny_network(stage=1))


def test_names_a_frame_of_another_size():
    frames = [*make_frames(3), *make_frames(1, width=14)]
    restored = StreamingRestorer(tiny_network()).restore(frames)
    with pytest.raises(ValueError, match=r'frame 3 is \(3, 9, 14\)'):
        list(restored)


@pytest.mark.parametrize('shape', [(9, 13), (1, 9, 13), (1, 3, 9, 13)])
def test_names_a_frame_that_is_none(shape):
    restored = StreamingRestorer(tiny_network()).restore([torch.zeros(shape)])
    with pytest.raises(ValueError, match=r'frame 0 must be \(3, H, W\)'):
        list(restored)


def test_small_budget_takes_strips_and_gives_the_same():
    model = tiny_network()
    frames = make_frames(3, height=40)
    whole = list(StreamingRestorer(model).restore(frames))
    restorer = StreamingRestorer(model, memory_budget=1e-6)
    on_strips = list(restorer.restore(frames))
    assert restorer.strips == Strips(10)
    torch.testing.assert_close(on_strips, whole, rtol=0, atol=1e-4)


def test_wide_frames_are_computed_on_the_fastest_strips():
    model = tiny_network()
    frames = make_frames(2, height=30, width=600)
    restorer = StreamingRestorer(model)
    restored = list(restorer.restore(frames))
    assert restorer.strips == Strips(24)
    window = torch.stack([frames[0], frames[0], frames[1]]).unsqueeze(0)
    with torch.no_grad():
        torch.testing.assert_close(restored[0], model(window)[0], rtol=0, atol=1e-5)
        encoded = [model.encode(frame, WHOLE_FRAMES) for frame in window.unbind(1)]
        whole = model.refine(encoded, WHOLE_FRAMES)[0]
    torch.testing.assert_close(restored[0], whole, rtol=0, atol=1e-5)


def test_chooses_the_strips_once_for_a_size(monkeypatch):
    chosen = []

    def choose(network, height, width, *_):
        chosen.append((height, width))
        return WHOLE_FRAMES

    monkeypatch.setattr('fmanet_mm.restoration.streaming.choose_strips', choose)
    restorer = StreamingRestorer(tiny_network())
    for height in (8, 8, 9, 8):
        list(restorer.restore(make_frames(2, height=height)))
    assert chosen == [(8, 13), (9, 13), (8, 13)]


def test_bad_budget_is_refused():
    with pytest.raises(ValueError, match='memory_budget must be a positive.*got 0'):
        StreamingRestorer(tiny_network(), memory_budget=0)


def test_continues_on_lower_strips_when_memory_runs_out(
    whole_frames, monkeypatch, capsys
):
    model = tiny_network()
    frames = make_frames(4, height=40)
    expected = list(StreamingRestorer(model).restore(frames))
    refine, rows = WindowRestoration.refine, []

    def fail_on_high_strips(self, window, strips):
        rows.append(strips.rows)
        if len(rows) in (2, 3):
            raise torch.OutOfMemoryError('CUDA out of memory')
        return refine(self, window, strips)

    monkeypatch.setattr(WindowRestoration, 'refine', fail_on_high_strips)
    given = list(StreamingRestorer(model).restore(frames))
    assert rows == [None, None, 20, 10, 10, 10]
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-4)
    assert 'strips of 10 rows' in capsys.readouterr().out


def test_other_errors_are_not_retried(whole_frames, monkeypatch):
    model = tiny_network()

    def fail(*args):
        raise RuntimeError('a bug')

    monkeypatch.setattr(WindowRestoration, 'encode', fail)
    with pytest.raises(RuntimeError, match='a bug'):
        list(StreamingRestorer(model).restore(make_frames(3)))


def test_gives_up_when_the_lowest_strips_do_not_fit(whole_frames, monkeypatch):
    model = tiny_network()

    def fail(*args):
        raise torch.OutOfMemoryError('CUDA out of memory')

    monkeypatch.setattr(WindowRestoration, 'encode', fail)
    with pytest.raises(torch.OutOfMemoryError):
        list(StreamingRestorer(model).restore(make_frames(3)))
