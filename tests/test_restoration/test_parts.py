"""Several processes restore a clip; here they take turns in one."""

import os
import threading
from collections import Counter

import av
import pytest
import torch
from helpers import interrupt_at, moving_images, same_files, write_folder

from fmanet_mm.restoration import (
    EndedEarlyError,
    Part,
    ReadOptions,
    RestoreOptions,
    Resume,
    VideoRestorer,
)
from fmanet_mm.utils.ownership import InUseError, OwnerLock
from fmanet_mm.utils.windows import sliding_windows
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.segments import NUM_FRAMES
from fmanet_mm.video.writer import open_writer

TOTAL = 2 * NUM_FRAMES + 20
RESUME = RestoreOptions(resume=Resume(enabled=True))


class Mean:
    """Restores by the mean of a window, and counts the frames that it takes."""

    scale = 2
    device = torch.device('cpu')

    def __init__(self, context=1):
        self.context = context
        self.taken = 0

    def restore(self, frames):
        def counted():
            for frame in frames:
                self.taken += 1
                yield frame

        for window in sliding_windows(counted(), 3):
            mean = torch.stack(tuple(window)).mean(0)
            yield mean.repeat_interleave(2, 1).repeat_interleave(2, 2)


class Reported(list):
    """A ``progress`` that notes its calls."""

    def __call__(self, *numbers):
        self.append(numbers)


@pytest.fixture
def restorer():
    return VideoRestorer(Mean())


@pytest.fixture
def clip(tmp_path):
    """Two shots; the cut is next to the border between two segments."""
    images = moving_images(TOTAL, (8, 10))
    cut = NUM_FRAMES + 1
    dark = [image // 4 for image in images[:cut]]
    return write_folder(tmp_path / 'clip', dark + [x // 4 + 190 for x in images[cut:]])


def parts(count, run='run'):
    return [Part(index, count, run) for index in range(count)]


def packets_of(path):
    with av.open(str(path)) as container:
        return [(bytes(p), p.pts, p.dts, p.duration) for p in container.demux(video=0)]


def same_clips(path, other):
    if path.is_dir():
        return same_files(path, other)
    return packets_of(path) == packets_of(other)


# The same output


@pytest.mark.parametrize(
    ('name', 'order'),
    [
        ('out.mp4', (0, 1)),
        ('out.avi', (1, 0)),
        ('out', (1, 0)),
        ('out.mp4', (2, 0, 1)),
        ('out.mkv', (4, 0, 2, 1, 3)),  # more processes than segments
    ],
)
def test_the_last_of_all_parts_completes_the_output(
    tmp_path, restorer, clip, name, order
):
    out, whole = tmp_path / name, tmp_path / f'whole{name[3:]}'
    restorer.restore_video(clip, whole, RestoreOptions(resume=Resume(False, True)))
    for index in order[:-1]:
        part = Part(index, len(order), 'run')
        assert restorer.restore_part(clip, out, part) is None
    assert not out.exists()
    part = Part(order[-1], len(order), 'run')
    assert restorer.restore_part(clip, out, part) == (out, TOTAL)
    assert same_clips(out, whole)
    assert sorted(os.listdir(tmp_path)) == sorted(['clip', name, whole.name])


def test_only_the_context_is_restored_twice(tmp_path, clip):
    taken = []
    for part in parts(2):
        network = Mean()
        VideoRestorer(network).restore_part(clip, tmp_path / 'out', part)
        taken.append(network.taken)
    # Two frames of the second part's shot begin before the cut.
    assert taken == [NUM_FRAMES + 1, 1 + TOTAL - NUM_FRAMES]


def test_networks_of_complete_clips_leave_all_to_the_last_process(tmp_path, clip):
    restorer = VideoRestorer(Mean(context=None))
    first, last = parts(2)
    assert restorer.restore_part(clip, tmp_path / 'out', first) is None
    assert restorer.restorer.taken == 0
    restored = restorer.restore_part(clip, tmp_path / 'out', last)
    assert restored == (tmp_path / 'out', TOTAL)


def test_progress_counts_the_frames_of_the_part(tmp_path, restorer, clip):
    for part, length in zip(parts(2), (NUM_FRAMES, TOTAL - NUM_FRAMES), strict=True):
        reported = Reported()
        restorer.restore_part(clip, tmp_path / 'out', part, progress=reported)
        assert reported == [(number, length) for number in range(length + 1)]


def test_what_precedes_damage_is_restored(tmp_path, restorer, clip):
    (clip / f'{NUM_FRAMES + 7:04d}.png').write_bytes(b'damaged')
    with pytest.raises(EndedEarlyError) as alone:
        restorer.restore_video(clip, tmp_path / 'whole')
    first, second = parts(2)
    assert restorer.restore_part(clip, tmp_path / 'out', second) is None
    with pytest.raises(EndedEarlyError) as caught:
        restorer.restore_part(clip, tmp_path / 'out', first)
    assert caught.value.restored == (tmp_path / 'out', NUM_FRAMES + 7)
    assert str(caught.value) == str(alone.value).replace('whole', 'out')
    assert same_files(tmp_path / 'out', tmp_path / 'whole')


# A process that dies


@pytest.mark.parametrize(
    ('name', 'count'), [('out.mp4', None), ('out.mp4', 2), ('out', 1), ('out', 3)]
)
def test_what_a_part_lacks_is_resumed_by_any_number_of_processes(
    tmp_path, restorer, clip, name, count
):
    out, whole = tmp_path / name, tmp_path / f'whole{name[3:]}'
    restorer.restore_video(clip, whole)
    first, second = parts(2)
    with pytest.raises(KeyboardInterrupt):
        restorer.restore_part(clip, out, first, progress=interrupt_at(30))
    assert restorer.restore_part(clip, out, second) is None

    network = restorer.restorer = Mean()
    if count is None:
        restored = restorer.restore_video(clip, out, RESUME)
    else:
        results = (
            restorer.restore_part(clip, out, part, RESUME)
            for part in parts(count, 'another run')
        )
        restored = next(filter(None, results))
    assert restored == (out, TOTAL)
    assert network.taken <= NUM_FRAMES - 30 + 2 * 2
    if name == 'out':
        assert same_files(out, whole)
    assert sorted(os.listdir(tmp_path)) == sorted(['clip', name, whole.name])


def test_a_complete_part_is_not_read_again(tmp_path, restorer, clip, monkeypatch):
    first, second = parts(2)
    restorer.restore_part(clip, tmp_path / 'out', second)
    network = restorer.restorer = Mean()
    assert restorer.restore_part(clip, tmp_path / 'out', second, RESUME) is None
    assert network.taken == 0
    assert restorer.restore_part(clip, tmp_path / 'out', first) is not None


def test_an_earlier_run_is_only_resumed_if_asked_for(tmp_path, restorer, clip):
    restorer.restore_part(clip, tmp_path / 'out', parts(2)[0])
    with pytest.raises(ValueError, match=f'holds {NUM_FRAMES} frames of an interrupt'):
        restorer.restore_part(clip, tmp_path / 'out', parts(2, 'another run')[1])
    with pytest.raises(ValueError, match='cannot resume .*scale was None and is 1.5'):
        restorer.restore_part(
            clip, tmp_path / 'out', parts(2)[1], RestoreOptions(scale=1.5)
        )


def test_parts_that_fail_at_once_leave_nothing(tmp_path, restorer, clip):
    for part in parts(2):
        with pytest.raises(KeyboardInterrupt):
            restorer.restore_part(
                clip, tmp_path / 'out', part, progress=interrupt_at(0)
            )
    assert os.listdir(tmp_path) == ['clip']


# Other runs


def test_another_run_is_kept_away_while_a_part_is_written(tmp_path):
    target = tmp_path / 'out'
    part, sibling = (part.of(TOTAL, NUM_FRAMES) for part in parts(2))
    other = parts(2, 'another run')[1].of(TOTAL, NUM_FRAMES)
    (image,) = moving_images(1)
    with open_writer(target, part=part) as writer:
        for options in (dict(), dict(part=other), dict(part=part)):
            refused = open_writer(target, resume=Resume(enabled=True), **options)
            with pytest.raises(InUseError, match='is being written by another run'):
                refused.__enter__()
        open_writer(target, part=sibling).check_free()
        with pytest.raises(InUseError):
            open_writer(target, resume=Resume(enabled=True)).check_free()
        with open_writer(target, part=sibling) as second:
            second.write(image)
        writer.write(image)
    assert not writer.is_complete
    with open_writer(target, resume=Resume(enabled=True)) as writer:
        assert writer.num_frames == 2
        assert [tuple(span) for span in writer.missing] == [
            (1, NUM_FRAMES),
            (NUM_FRAMES + 1, float('inf')),
        ]
        for number in [*range(1, NUM_FRAMES), NUM_FRAMES + 1]:
            writer.write(image, number=number)
    assert len(os.listdir(target)) == NUM_FRAMES + 2


# How a clip is cut


@pytest.mark.parametrize('num_frames', [1, 49, 50, 51, 120, 1000, 1001])
@pytest.mark.parametrize('count', [1, 2, 3, 7])
def test_parts_cover_a_clip_without_overlap(num_frames, count):
    spans = [
        part.span for each in parts(count) if (part := each.of(num_frames, NUM_FRAMES))
    ]
    assert spans[0].first == 0
    assert spans[-1].stop == float('inf')
    assert all(a.stop == b.first for a, b in zip(spans, spans[1:], strict=False))
    covered = Counter(span.first % NUM_FRAMES for span in spans)
    assert covered == {0: len(spans)}
    lengths = [span.stop - span.first for span in spans[:-1]]
    if lengths:
        assert max(lengths) - min(lengths) <= NUM_FRAMES


@pytest.mark.parametrize('index', [-1, 2])
def test_refuses_parts_beyond_their_number(index):
    with pytest.raises(ValueError, match=f'below count = 2, got {index}'):
        Part(index, 2, 'run')


@pytest.mark.parametrize('suffix', ['mp4', 'ts'])
def test_frames_are_counted_where_the_header_does_not_say(tmp_path, restorer, suffix):
    clip = tmp_path / f'clip.{suffix}'
    with av.open(str(clip), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.width, stream.height, stream.pix_fmt = 16, 16, 'yuv420p'
        for image in moving_images(TOTAL, (16, 16)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    with open_frames(clip) as frames:
        assert frames.num_frames == (None if suffix == 'ts' else TOTAL)
        assert frames.estimate_num_frames() == TOTAL
    with open_frames(clip, ReadOptions(start=2, end=3)) as frames:
        assert frames.estimate_num_frames() == 25
    reported = Reported()
    first, last = parts(2)
    restorer.restore_part(clip, tmp_path / 'out', first, progress=reported)
    assert reported[-1] == (NUM_FRAMES, NUM_FRAMES)
    assert restorer.restore_part(clip, tmp_path / 'out', last) is not None


def test_a_part_waits_for_another_run_that_looks_at_the_folder(tmp_path):
    part = parts(2)[0].of(TOTAL, NUM_FRAMES)
    look = OwnerLock(tmp_path / '.out.partial/owner.json', 'out')
    with open_writer(tmp_path / 'out', part=part) as writer:
        writer.write(moving_images(1)[0])
        look.acquire()
        threading.Timer(0.1, look.release).start()
    assert not look.is_held
    assert not look.path.exists()
