"""Functions of windows and of clips, and toys that keep to the protocol alone."""

import numpy as np
import pytest
import torch
from helpers import (
    interrupt_at,
    noise_images,
    read_clip,
    same_files,
    two_shots,
    write_folder,
)
from torch import nn

from fmanet_mm.restoration import (
    RestoreOptions,
    Resume,
    SequenceRestorer,
    VideoRestorer,
    window_restorer,
)

KEEP = RestoreOptions(resume=Resume(keep_partial=True))
RESUME = RestoreOptions(resume=Resume(enabled=True))


class Toy:
    """Enlarges the mean of a frame and those near it; keeps to the protocol alone."""

    scale = 2
    device = torch.device('cpu')

    def __init__(self, context):
        self.context = context
        self.clips = []

    def restore(self, frames):
        frames = list(frames)
        self.clips.append(len(frames))
        for index in range(len(frames)):
            near = frames
            if self.context is not None:
                first = max(index - self.context, 0)
                near = frames[first : index + self.context + 1]
            mean = (torch.stack(near).mean(0) + frames[index]) / 2
            yield mean.repeat_interleave(2, 1).repeat_interleave(2, 2)

    def peak_bytes(self, height, width):
        return None


@pytest.mark.parametrize('context', [0, 2, None])
def test_a_clip_restorer_restores_shot_by_shot(tmp_path, context):
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    toy = Toy(context)
    restorer = VideoRestorer(toy)
    assert restorer.restore_video(clip, tmp_path / 'out').num_frames == 9
    assert toy.clips == [5, 4]
    expected = [
        image for shot in (dark, bright) for image in restorer.restore_frames(shot)
    ]
    np.testing.assert_array_equal(read_clip(tmp_path / 'out'), expected)

    whole = RestoreOptions(detect_scenes=False)
    restorer.restore_video(clip, tmp_path / 'one', whole)
    differ = [
        (a != b).any()
        for a, b in zip(read_clip(tmp_path / 'one'), expected, strict=True)
    ]
    reach = 9 if context is None else context
    assert differ == [5 - reach <= index < 5 + reach for index in range(9)]


@pytest.mark.parametrize('number', [0, 1, 4, 5, 6, 8])
@pytest.mark.parametrize('context', [0, 2, None])
def test_a_clip_restorer_is_resumed(tmp_path, context, number):
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    toy = Toy(context)
    restorer = VideoRestorer(toy)
    restorer.restore_video(clip, tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', KEEP, interrupt_at(number))
    toy.clips.clear()
    restorer.restore_video(clip, tmp_path / 'out', RESUME)
    assert same_files(tmp_path / 'out', tmp_path / 'whole')
    if context is not None:
        begin = max(number - context, 0)
        assert sum(toy.clips) == 9 - begin


def test_settings_of_a_restorer_must_not_change_between_runs(tmp_path):
    clip = write_folder(tmp_path / 'clip', noise_images(3))
    with pytest.raises(KeyboardInterrupt):
        VideoRestorer(Toy(0), dict(strength=1)).restore_video(
            clip, tmp_path / 'out', KEEP, interrupt_at(1)
        )
    with pytest.raises(ValueError, match='strength was 1 and is 2'):
        VideoRestorer(Toy(0), dict(strength=2)).restore_video(
            clip, tmp_path / 'out', RESUME
        )


# Adapters


class Network(nn.Module):
    """The mean of a window or, as a sequence, running means; notes the shapes."""

    def __init__(self, of_windows):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.of_windows = of_windows
        self.shapes = []

    def forward(self, frames):
        assert not torch.is_grad_enabled()
        if not frames.is_meta:
            self.shapes.append(tuple(frames.shape))
        if self.of_windows:
            mean = frames.mean(1)
        else:
            numbers = torch.arange(1, frames.size(1) + 1).view(-1, 1, 1, 1)
            mean = frames.cumsum(1) / numbers
        mean = mean * self.weight
        return mean.repeat_interleave(3, -1).repeat_interleave(3, -2)


def enlarged(frame):
    return frame.repeat_interleave(3, 1).repeat_interleave(3, 2)


def clip_of(num_frames, size=(9, 13)):
    return torch.rand(num_frames, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ('multiple', 'padded'), [(1, (9, 13)), (4, (12, 16)), (8, (16, 16))]
)
def test_windows_of_any_size_are_padded_to_a_multiple(multiple, padded):
    network = Network(of_windows=True)
    restorer = window_restorer(network, num_frames=3, scale=3, multiple=multiple)
    assert (restorer.context, restorer.scale) == (1, 3)
    frames = clip_of(4)
    restored = list(restorer.restore(frames))
    assert network.shapes == 4 * [(1, 3, 3, *padded)]
    for index, frame in enumerate(restored):
        near = [min(max(index + offset, 0), 3) for offset in (-1, 0, 1)]
        torch.testing.assert_close(frame, enlarged(frames[near].mean(0)))


@pytest.mark.parametrize(
    ('multiple', 'padded'), [(1, (9, 13)), (4, (12, 16)), (8, (16, 16))]
)
def test_sequences_of_any_size_are_padded_to_a_multiple(multiple, padded):
    network = Network(of_windows=False)
    restorer = SequenceRestorer(network, scale=3, multiple=multiple)
    assert (restorer.context, restorer.scale) == (None, 3)
    assert restorer.peak_bytes(9, 13) is None
    frames = clip_of(4)
    restored = list(restorer.restore(frames))
    assert network.shapes == [(1, 4, 3, *padded)]
    for index, frame in enumerate(restored):
        torch.testing.assert_close(frame, enlarged(frames[: index + 1].mean(0)))
    assert list(restorer.restore([])) == []


def test_padding_repeats_the_border():
    """A network that reads its lower right neighbour sees the last pixel again."""

    class Shift(nn.Module):
        def forward(self, frames):
            return frames[:, 0].roll((-1, -1), (-2, -1))

    restorer = window_restorer(Shift(), num_frames=1, scale=1, multiple=4)
    (frame,) = clip_of(1, (6, 7))
    (restored,) = restorer.restore([frame])
    assert torch.equal(restored[:, :-1, :-1], frame[:, 1:, 1:])
    assert torch.equal(restored[:, -1, -1], frame[:, -1, -1])


def test_long_sequences_are_restored_in_parts():
    network = Network(of_windows=False)
    restorer = SequenceRestorer(network, scale=3, max_frames=2)
    frames = clip_of(5)
    restored = list(restorer.restore(frames))
    assert [shape[1] for shape in network.shapes] == [2, 2, 1]
    torch.testing.assert_close(restored[3], enlarged(frames[2:4].mean(0)))
    torch.testing.assert_close(restored[4], enlarged(frames[4]))


@pytest.mark.parametrize('number', [1, 3, 4])
def test_a_sequence_is_resumed(tmp_path, number):
    clip = write_folder(tmp_path / 'clip', noise_images(5))
    network = Network(of_windows=False)
    restorer = VideoRestorer(SequenceRestorer(network, scale=3, max_frames=2))
    restorer.restore_video(clip, tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', KEEP, interrupt_at(number))
    restorer.restore_video(clip, tmp_path / 'out', RESUME)
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


@pytest.mark.parametrize('of_windows', [True, False])
def test_adapters_compute_under_autocast(of_windows):
    class Precision(nn.Module):
        def forward(self, frames):
            assert torch.get_autocast_dtype('cpu') == torch.bfloat16
            assert torch.is_autocast_enabled('cpu') or frames.is_meta
            return frames[:, 0] if of_windows else frames

    settings = dict(scale=1, autocast_dtype=torch.bfloat16)
    restorer = (
        window_restorer(Precision(), num_frames=1, **settings)
        if of_windows
        else SequenceRestorer(Precision(), **settings)
    )
    assert len(list(restorer.restore(clip_of(2)))) == 2
    assert not torch.is_autocast_enabled('cpu')


@pytest.mark.parametrize('of_windows', [True, False])
def test_adapters_name_a_frame_of_another_size(of_windows):
    network = Network(of_windows)
    restorer = (
        window_restorer(network, num_frames=3, scale=3)
        if of_windows
        else SequenceRestorer(network, scale=3)
    )
    frames = [*clip_of(2), *clip_of(1, (9, 14))]
    with pytest.raises(ValueError, match=r'frame 2 is \(3, 9, 14\)'):
        list(restorer.restore(frames))


def test_a_sequence_cannot_keep_to_a_budget():
    with pytest.raises(ValueError, match='cannot keep to a memory budget'):
        SequenceRestorer(Network(of_windows=False), scale=3, memory_budget=1)
