import os
import threading
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import cv2
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
from mmengine.config import Config

from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.restoration import (
    EndedEarlyError,
    Limits,
    ReadOptions,
    RestoreOptions,
    Resume,
    StreamingRestorer,
    VideoRestorer,
    WriteOptions,
)
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.restoration.video_restorer import QUEUED_FRAMES
from fmanet_mm.video.reader import FrameReader, open_frames
from fmanet_mm.video.writer import FrameWriter

KEEP = RestoreOptions(resume=Resume(keep_partial=True))
RESUME = RestoreOptions(resume=Resume(enabled=True))


@pytest.fixture
def restorer(config_file, checkpoint):
    return VideoRestorer.load(checkpoint, config_file, device='cpu')


@pytest.fixture
def expected(restorer):
    """What the network gives for the frames of a shot."""

    def restore(images):
        inputs = map(to_tensor, images)
        return list(StreamingRestorer(restorer.restorer.network).restore(inputs))

    return restore


# Frames


def test_restores_frames_as_the_network_does(restorer, expected):
    images = noise_images(4)
    restored = list(restorer.restore_frames(images))
    assert len(restored) == 4
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, to_image(tensor))


@pytest.mark.parametrize('num_frames', [1, 2])
def test_short_clips_give_every_frame(restorer, num_frames):
    assert len(list(restorer.restore_frames(noise_images(num_frames)))) == num_frames


def test_16_bits_stay_16_bits(restorer, expected):
    images = noise_images(3, dtype=np.uint16)
    restored = list(restorer.restore_frames(images))
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.dtype == np.uint16
        exact = 65535 * tensor.clamp(0, 1).permute(1, 2, 0).double().numpy()
        assert np.abs(image - exact).max() < 0.51
    assert any((image % 257).any() for image in restored)


def test_takes_frames_when_they_are_needed(restorer):
    taken = 0

    def source():
        nonlocal taken
        for image in noise_images(6):
            taken += 1
            yield image

    restored = restorer.restore_frames(source())
    for index in range(6):
        next(restored)
        assert taken == min(index + 2, 6)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((9, 13), np.uint8),
        np.zeros((9, 13, 4), np.uint8),
        np.zeros((9, 13, 3), np.float32),
    ],
)
def test_names_a_frame_that_is_none(restorer, image):
    message = r'frame 0 must be \(H, W, 3\) uint8 or uint16'
    with pytest.raises(ValueError, match=message):
        list(restorer.restore_frames([image]))


@pytest.mark.parametrize(('scale', 'size'), [(1.5, (14, 20)), (2, (18, 26))])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_scale_shrinks_what_the_network_gives(restorer, expected, scale, size, dtype):
    images = noise_images(2, dtype=dtype)
    restored = list(restorer.restore_frames(images, scale))
    for image, tensor in zip(restored, expected(images), strict=True):
        assert image.shape == (*size, 3)
        whole = tensor.permute(1, 2, 0).numpy()
        smaller = cv2.resize(whole, size[::-1], interpolation=cv2.INTER_AREA)
        target = np.iinfo(dtype).max * smaller.clip(0, 1)
        assert np.abs(image - target).max() < 0.51


@pytest.mark.parametrize('scale', [0.5, 1, 2.5])
def test_refuses_sizes_that_the_network_does_not_give(restorer, scale):
    with pytest.raises(ValueError, match=f'above 1 and at most 2, .* got {scale}'):
        restorer.restore_frames([], scale)


# Videos


def test_a_folder_keeps_the_names_and_depth_of_its_images(tmp_path, restorer, expected):
    images = noise_images(3, dtype=np.uint16)
    clip = write_folder(tmp_path / 'clip', images)
    restored = restorer.restore_video(clip, tmp_path / 'out')
    assert restored == (tmp_path / 'out', 3)
    assert sorted(os.listdir(tmp_path / 'out')) == ['0000.png', '0001.png', '0002.png']
    np.testing.assert_array_equal(
        read_clip(tmp_path / 'out'), [to_image(x, np.uint16) for x in expected(images)]
    )


def test_a_file_gives_numbered_images(tmp_path, restorer, make_clip):
    restorer.restore_video(make_clip('clip.mp4', 2), tmp_path / 'out')
    assert sorted(os.listdir(tmp_path / 'out')) == ['00000000.png', '00000001.png']


def test_options_reach_reader_and_writer(tmp_path, restorer):
    clip = write_folder(tmp_path / 'clip', noise_images(6))
    (clip / '0099.jpg').write_bytes(b'no frame')
    options = RestoreOptions(
        detect_scenes=False,
        read=ReadOptions(start=0.2, end=Fraction(2, 5), folder_fps=10, pattern='*.png'),
        write=WriteOptions(codec='libx264rgb', crf=0, pixel_format='rgb24'),
    )
    restored = restorer.restore_video(clip, tmp_path / 'out.mkv', options)
    assert restored.num_frames == 2
    with open_frames(tmp_path / 'out.mkv') as frames:
        assert frames.info.fps == 10
        written = list(frames)
    images = noise_images(6)[2:4]
    np.testing.assert_array_equal(written, list(restorer.restore_frames(images)))


def test_limits_are_kept(tmp_path, restorer, make_clip):
    clip = make_clip('clip.mp4')
    with pytest.raises(ValueError, match='max_pixels'):
        restorer.restore_video(
            clip,
            tmp_path / 'out',
            RestoreOptions(read=ReadOptions(limits=Limits(max_pixels=100))),
        )
    assert not (tmp_path / 'out').exists()


def test_progress_is_reported_from_nothing_to_all(tmp_path, restorer):
    clip = write_folder(tmp_path / 'clip', noise_images(3))
    reported = []
    restorer.restore_video(
        clip, tmp_path / 'out', progress=lambda *numbers: reported.append(numbers)
    )
    assert reported == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_windows_do_not_cross_cuts(tmp_path, restorer, expected):
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    restorer.restore_video(clip, tmp_path / 'out')
    by_shots = [to_image(x) for x in [*expected(dark), *expected(bright)]]
    np.testing.assert_array_equal(read_clip(tmp_path / 'out'), by_shots)

    restorer.restore_video(
        clip, tmp_path / 'other', RestoreOptions(detect_scenes=False)
    )
    as_one = [to_image(x) for x in expected(dark + bright)]
    np.testing.assert_array_equal(read_clip(tmp_path / 'other'), as_one)
    different = [(a != b).any() for a, b in zip(by_shots, as_one, strict=True)]
    assert different == [index in (4, 5) for index in range(9)]


def test_what_precedes_damage_is_restored(tmp_path, restorer, expected):
    images = noise_images(5)
    clip = write_folder(tmp_path / 'clip', images)
    (clip / '0003.png').write_bytes(b'damaged')
    with pytest.raises(
        EndedEarlyError, match='ends at frame 3.* 3 frames before'
    ) as caught:
        restorer.restore_video(clip, tmp_path / 'out')
    assert caught.value.restored == (tmp_path / 'out', 3)
    np.testing.assert_array_equal(
        read_clip(tmp_path / 'out'), [to_image(x) for x in expected(images[:3])]
    )


# Threads


@pytest.fixture
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@pytest.fixture
def noted(monkeypatch):
    """What happens to the frames of a folder, in order, and in which thread.

    Once a frame is ``read`` or ``refined`` and before it is ``written``, the function
    of that name in the dict that is given is called with its number.
    """
    events, calls = [], {}

    def note(kind):
        number = sum(other == kind for other, _, _ in events)
        events.append((kind, number, threading.current_thread()))
        calls.get(kind, lambda number: None)(number)

    timed, refine = FrameReader.timed, WindowRestoration.refine
    write = FrameWriter.write

    def noting_timed(self):
        for frame in timed(self):
            note('read')
            yield frame

    def noting_refine(self, window, strips):
        restored = refine(self, window, strips)
        if not window[0].image.is_meta:  # those only plan the memory
            note('refined')
        return restored

    def noting_write(self, *frame):
        note('written')
        write(self, *frame)

    monkeypatch.setattr(FrameReader, 'timed', noting_timed)
    monkeypatch.setattr(WindowRestoration, 'refine', noting_refine)
    monkeypatch.setattr(FrameWriter, 'write', noting_write)
    return events, calls


@pytest.mark.usefixtures('no_thread_is_left')
def test_decoding_computing_and_encoding_have_a_thread_each(tmp_path, restorer, noted):
    events, _ = noted
    clip = write_folder(tmp_path / 'clip', noise_images(5))
    restorer.restore_video(clip, tmp_path / 'out')
    threads = {}
    for kind, _, thread in events:
        threads.setdefault(kind, set()).add(thread)
    assert {len(of_kind) for of_kind in threads.values()} == {1}
    assert len(set.union(*threads.values())) == 3
    assert threads['refined'] == {threading.current_thread()}


@pytest.mark.usefixtures('no_thread_is_left')
@pytest.mark.parametrize('slow', ['read', 'refined', 'written'])
def test_what_is_slow_changes_no_frame(tmp_path, restorer, noted, slow):
    events, calls = noted
    clip = write_folder(tmp_path / 'clip', sum(two_shots(), []))
    restorer.restore_video(clip, tmp_path / 'whole')
    del events[:]
    calls[slow] = lambda number: time.sleep(0.004 * (number % 3))
    restorer.restore_video(clip, tmp_path / 'out')
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


@pytest.mark.usefixtures('no_thread_is_left')
def test_a_stalled_encoder_lets_the_network_work_up_to_its_queue(
    tmp_path, restorer, noted
):
    events, calls = noted
    total = 3 * QUEUED_FRAMES + 4
    clip = write_folder(tmp_path / 'clip', noise_images(total))
    seen = {}

    def count(kind):
        return sum(kind == other for other, _, _ in events)

    # One is being written, some wait, and the next waits to be put.
    refined = 1 + QUEUED_FRAMES + 1
    # It looks a frame ahead, as the scene cut detector does; one is being read.
    read = refined + 1 + QUEUED_FRAMES + 1 + 1

    def stall(number):
        until = time.monotonic() + 30
        while number == 0 and time.monotonic() < until:
            if count('refined') >= refined and count('read') >= read:
                until = min(until, time.monotonic() + 0.1)  # and no further
            time.sleep(0.002)
        if number == 0:
            seen.update(refined=count('refined'), read=count('read'))

    calls['written'] = stall
    restorer.restore_video(clip, tmp_path / 'out')
    assert seen == dict(refined=refined, read=read)
    assert count('written') == total


@pytest.mark.usefixtures('no_thread_is_left')
@pytest.mark.parametrize(
    ('kind', 'error', 'kept'),
    [
        ('read', RuntimeError('a bug while reading'), 4),  # it looks two ahead
        ('refined', RuntimeError('a bug of the network'), 6),
        ('written', OSError(28, 'No space left on device'), 6),
        ('refined', KeyboardInterrupt(), 6),
        ('written', KeyboardInterrupt(), 6),
    ],
)
def test_an_error_in_any_thread_ends_the_run_and_keeps_the_frames_before_it(
    tmp_path, restorer, noted, kind, error, kept
):
    _, calls = noted
    clip = write_folder(tmp_path / 'clip', noise_images(12))
    restorer.restore_video(clip, tmp_path / 'whole')
    noted[0].clear()

    def fail(number):
        if number == 6:
            raise error

    calls[kind] = fail
    with pytest.raises(type(error)) as caught:
        restorer.restore_video(clip, tmp_path / 'out', KEEP)
    assert caught.value is error
    calls.clear()
    reported = []
    restorer.restore_video(
        clip, tmp_path / 'out', RESUME, lambda *numbers: reported.append(numbers)
    )
    assert reported[0] == (kept, 12)
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


# Resuming


@pytest.mark.parametrize('number', range(9))
def test_resuming_gives_the_same_images(tmp_path, restorer, monkeypatch, number):
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    restorer.restore_video(clip, tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', KEEP, interrupt_at(number))
    assert not (tmp_path / 'out').exists()

    calls = Counter()
    refine = WindowRestoration.refine

    def counting(self, window, strips):
        calls['refine'] += not window[0].image.is_meta  # those only plan the memory
        return refine(self, window, strips)

    monkeypatch.setattr(WindowRestoration, 'refine', counting)
    reported = []
    restorer.restore_video(
        clip,
        tmp_path / 'out',
        RESUME,
        lambda *numbers: reported.append(numbers),
    )
    assert reported[0] == (number, 9)
    assert 9 - number <= calls['refine'] <= 9 - number + 1  # T // 2 of context
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


@pytest.mark.parametrize('number', [2, 7])
def test_resuming_begins_with_a_batch_of_the_shot(
    tmp_path, restorer, monkeypatch, number
):
    """So that each frame has the same place in its batch, and so the same bits."""
    dark, bright = two_shots()
    clip = write_folder(tmp_path / 'clip', dark + bright)
    network = restorer.restorer.network
    restorer = VideoRestorer(StreamingRestorer(network, batch_size=3))
    restorer.restore_video(clip, tmp_path / 'whole')
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', KEEP, interrupt_at(number))
    encode, first = WindowRestoration.encode, []

    def remember(self, frames, strips):
        if not frames.is_meta:
            first.append(to_image(frames[0]))
        return encode(self, frames, strips)

    monkeypatch.setattr(WindowRestoration, 'encode', remember)
    restorer.restore_video(clip, tmp_path / 'out', RESUME)
    # Of the dark shot frames 0 to 4, of the bright one 5 to 8; one frame of context.
    begins = {2: [0, 3, 5, 8], 7: [5, 8]}[number]
    images = [(dark + bright)[index] for index in begins]
    np.testing.assert_array_equal(first, images)
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


def test_without_a_run_to_resume_it_begins(tmp_path, restorer):
    clip = write_folder(tmp_path / 'clip', noise_images(2))
    assert restorer.restore_video(clip, tmp_path / 'out', RESUME).num_frames == 2


@pytest.mark.parametrize(
    'difference', ['scale', 'scenes', 'dtype', 'checkpoint', 'config']
)
def test_does_not_resume_with_other_settings(
    tmp_path, config_file, checkpoint, restorer, difference
):
    clip = write_folder(tmp_path / 'clip', noise_images(4))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', KEEP, interrupt_at(2))
    options = {}
    if difference == 'scale':
        options = dict(scale=1.5)
    elif difference == 'scenes':
        options = dict(detect_scenes=False)
    elif difference == 'dtype':
        restorer = VideoRestorer.load(
            checkpoint, config_file, device='cpu', dtype='bf16'
        )
    elif difference == 'config':
        config = Config.fromfile(config_file)
        config.restorer = dict(type='WindowRestorer', num_frames=3, scale=2)
        restorer = VideoRestorer.load(checkpoint, config, device='cpu')
    else:
        other = tmp_path / 'other.pth'
        weights = torch.load(checkpoint)
        weights['state_dict']['net_d.flow_head.0.weight'] += 1
        torch.save(weights, other)
        restorer = VideoRestorer.load(other, config_file, device='cpu')
    with pytest.raises(ValueError, match=f'cannot resume .*{difference}'):
        restorer.restore_video(clip, tmp_path / 'out', replace(RESUME, **options))


def test_nothing_is_kept_unless_asked_for(tmp_path, restorer):
    clip = write_folder(tmp_path / 'clip', noise_images(4))
    before = set(os.listdir(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_video(clip, tmp_path / 'out', progress=interrupt_at(2))
    assert set(os.listdir(tmp_path)) == before
