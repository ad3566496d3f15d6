"""Interrupted runs, and runs that resume them."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from fmanet_mm.video.encoding import Encoding
from fmanet_mm.video.options import ReadOptions, Resume, WriteOptions
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.segments import NUM_FRAMES, Segment, Segments
from fmanet_mm.video.work_folder import LOCK, WorkFolder
from fmanet_mm.video.writer import open_writer

SETTINGS = dict(weights='abc', scale=Fraction(3, 2))
TOTAL = 2 * NUM_FRAMES + 7
NAMES = ['clip.mp4', 'clip.mkv', 'clip.webm', 'clip.avi', 'clip.mov', 'frames']


def make_image(index):
    y, x = np.mgrid[:48, :64]
    planes = (5 * x + 7 * index, 6 * y + 3 * index, x + y + index)
    return (np.stack(planes, axis=2) % 256).astype(np.uint8)


def time_of(index):
    """A variable rate that has long and short steps at the joints of segments."""
    return Fraction(index, 25) + Fraction(index % NUM_FRAMES == 1, 50) + index // 40


def write(
    path,
    *,
    stop=TOTAL,
    total=TOTAL,
    resume=False,
    keep_partial=True,
    settings=SETTINGS,
    **options,
):
    """Write frames up to ``total``, but raise KeyboardInterrupt before ``stop``."""
    resume = Resume(resume, keep_partial, settings)
    with open_writer(path, None, WriteOptions(**options), resume, fps=25) as writer:
        first = writer.num_frames
        for index in range(first, total):
            if index == stop:
                raise KeyboardInterrupt
            writer.write(make_image(index), time_of(index))
    return first


def interrupt(path, stop, **options):
    with pytest.raises(KeyboardInterrupt):
        write(path, stop=stop, **options)


def read(path):
    with open_frames(path) as frames:
        frames = list(frames.timed())
    return np.stack([f.image for f in frames]), [f.time for f in frames]


def read_packets(path):
    with av.open(str(path)) as container:
        return [
            (bytes(packet), packet.pts, packet.dts, packet.duration)
            for packet in container.demux(video=0)
        ]


def partial_of(path):
    return path.with_name(f'.{path.name}.partial')


# Joined files


@pytest.mark.parametrize('name', NAMES)
def test_segments_make_one_file(tmp_path, name):
    write(tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    images, times = read(tmp_path / name)
    assert len(images) == TOTAL
    if name == 'frames':
        return
    expected = np.stack([make_image(index) for index in range(TOTAL)])
    assert np.abs(images.astype(int) - expected).mean() < 12
    errors = np.abs(images.astype(int) - expected).mean((1, 2, 3))
    assert errors.max() < 2 * errors.mean()
    if name == 'clip.avi':
        return
    assert times == [time_of(index) for index in range(TOTAL)]


@pytest.mark.parametrize('codec', ['libx264', 'libx265', 'libsvtav1', 'ffv1', 'mpeg4'])
def test_every_codec_can_be_joined(tmp_path, codec):
    write(tmp_path / 'clip.mkv', codec=codec)
    images, _ = read(tmp_path / 'clip.mkv')
    assert len(images) == TOTAL


def test_packets_are_decoded_before_they_are_shown_and_in_order(tmp_path):
    write(tmp_path / 'clip.mp4')
    _, pts, dts, durations = zip(*read_packets(tmp_path / 'clip.mp4')[:-1], strict=True)
    assert pts != dts  # There are frames that are decoded before they are shown.
    assert all(d <= p for d, p in zip(dts, pts, strict=True))
    assert all(a < b for a, b in zip(dts, dts[1:], strict=False))
    shown = sorted(pts)
    assert shown[0] == 0
    assert min(durations) > 0


class WithoutDecodingTimes:
    """A stream whose encoder ends with decoding times that mean nothing."""

    def __init__(self, stream):
        self._stream = stream

    def encode(self, picture=None):
        packets = self._stream.encode(picture)
        for packet in packets if picture is None else ():
            packet.dts = 9_187_201_950_435_737_472 + packet.pts
        return packets


@pytest.mark.parametrize('total', [1, 2])
def test_so_few_frames_that_they_have_no_decoding_times(tmp_path, monkeypatch, total):
    """As libx265 gives for one or two frames, when its memory is not zero."""
    add_to = Encoding.add_to

    def add_untimed(encoding, container):
        stream = add_to(encoding, container)
        is_segment = container.format.name == 'nut'
        return WithoutDecodingTimes(stream) if is_segment else stream

    monkeypatch.setattr(Encoding, 'add_to', add_untimed)
    write(tmp_path / 'clip.mp4', stop=total, total=total, codec='hevc')
    with av.open(str(tmp_path / 'clip.mp4')) as container:
        shown = sorted(p.pts * p.time_base for p in container.demux(video=0) if p.size)
    start = time_of(0)
    assert shown == [time_of(index) - start for index in range(total)]


def test_without_a_run_to_keep_there_is_one_segment(tmp_path):
    write(tmp_path / 'clip.mp4', keep_partial=False)
    with av.open(str(tmp_path / 'clip.mp4')) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert sum(keys) < 1 + TOTAL // NUM_FRAMES


# Interrupted


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('stop', [1, NUM_FRAMES, NUM_FRAMES + 3, TOTAL - 1])
def test_an_interrupted_run_is_resumed(tmp_path, caplog, name, stop):
    path, partial = tmp_path / name, partial_of(tmp_path / name)
    interrupt(path, stop)
    assert not path.exists()
    assert partial.is_dir()
    assert caplog.messages[-1] == (
        f'{path} is not complete; {stop} frames are kept in {partial}; resume with '
        '--resume, or Resume(enabled=True)'
    )
    assert write(path, resume=True) == stop
    assert os.listdir(tmp_path) == [name]
    images, times = read(path)
    write(tmp_path / f'whole{path.suffix}')
    whole, expected = read(tmp_path / f'whole{path.suffix}')
    assert times == expected
    if name == 'frames' or stop % NUM_FRAMES == 0:
        np.testing.assert_array_equal(images, whole)
    assert np.abs(images.astype(int) - whole).mean() < 9


@pytest.mark.parametrize('name', NAMES[:-1])
def test_partial_output_can_be_played(tmp_path, caplog, name):
    path = tmp_path / name
    playable = tmp_path / f'clip.partial{path.suffix}'
    interrupt(path, NUM_FRAMES + 3)
    assert sorted(os.listdir(tmp_path)) == [f'.{name}.partial', playable.name]
    message = f'the frames of {path} written so far can be played as {playable}'
    assert message in caplog.messages
    images, times = read(playable)
    assert len(images) == NUM_FRAMES + 3
    if name != 'clip.avi':
        assert times == [time_of(index) for index in range(NUM_FRAMES + 3)]
    write(path, resume=True)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_run_can_be_interrupted_often(tmp_path, name):
    path = tmp_path / name
    for stop in (1, 2, NUM_FRAMES + 5, NUM_FRAMES + 5, 2 * NUM_FRAMES):
        interrupt(path, stop, resume=True)
    assert write(path, resume=True) == 2 * NUM_FRAMES
    images, times = read(path)
    assert len(images) == TOTAL
    if name == 'clip.mp4':
        assert times == [time_of(index) for index in range(TOTAL)]


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_run_that_lacks_only_its_end_is_resumed(tmp_path, name, monkeypatch):
    path = tmp_path / name

    def fail(*args):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, 'deliver', fail)
        with pytest.raises(OSError, match=f'{name} cannot be written: No space'):
            write(path)
    assert write(path, resume=True) == TOTAL
    images, _ = read(path)
    assert len(images) == TOTAL


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_an_error_keeps_the_frames_before_it_and_propagates(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(ValueError, match=r'frame 3 for .*\(4, 6\)'):
        with open_writer(path, resume=Resume(keep_partial=True)) as writer:
            for index in range(3):
                writer.write(make_image(index))
            writer.write(np.zeros((4, 6, 3), np.uint8))
    with open_writer(path, resume=Resume(True)) as writer:
        assert writer.num_frames == 3
        writer.write(make_image(3))
    assert len(read(path)[0]) == 4


def test_the_size_of_frames_is_known_when_a_run_is_resumed(tmp_path):
    interrupt(tmp_path / 'clip.mp4', 3)
    with pytest.raises(ValueError, match=r'frame 3 for .*\(4, 6\).* \(48, 64\)'):
        with open_writer(
            tmp_path / 'clip.mp4', resume=Resume(True, settings=SETTINGS)
        ) as writer:
            writer.write(np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_run_without_frames_leaves_nothing(tmp_path, name):
    interrupt(tmp_path / name, 0)
    assert os.listdir(tmp_path) == []


def test_an_interrupt_within_a_frame_abandons_its_segment(tmp_path):
    path = tmp_path / 'clip.mp4'

    def interrupt(picture):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        with open_writer(path, resume=Resume(keep_partial=True)) as writer:
            for index in range(NUM_FRAMES + 5):
                writer.write(make_image(index))
            writer._segments._stream = SimpleNamespace(encode=interrupt)
            writer.write(make_image(NUM_FRAMES + 5))
    with open_writer(path, resume=Resume(True)) as writer:
        assert writer.num_frames == NUM_FRAMES
        writer.write(make_image(NUM_FRAMES))
    assert len(read(path)[0]) == NUM_FRAMES + 1


def test_the_end_of_a_full_disk_leaves_the_closed_segments(tmp_path, monkeypatch):
    path = tmp_path / 'clip.mp4'
    publish = WorkFolder.publish

    def fail(self, draft, name):
        if name.startswith(f'{NUM_FRAMES:08d}-'):
            raise OSError(28, 'No space left on device')
        publish(self, draft, name)

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, 'publish', fail)
        with pytest.raises(OSError, match='clip.mp4 cannot be written: No space'):
            write(path)
    assert write(path, resume=True) == NUM_FRAMES
    assert len(read(path)[0]) == TOTAL


# Killed

SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_segments import write
write(Path(sys.argv[1]), resume=sys.argv[2] == 'resume')
"""


@contextmanager
def running(path, resume):
    folder = os.path.dirname(__file__)
    process = subprocess.Popen(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT.format(folder=folder),
         str(path), 'resume' if resume else 'begin'],
        env=os.environ | dict(OMP_NUM_THREADS='1'),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def count_files(partial):
    return len([p for p in partial.rglob('*') if p.suffix in ('.segment', '.png')])


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_killed_run_is_resumed_to_the_same_result(tmp_path, name):
    path, partial = tmp_path / 'out' / name, partial_of(tmp_path / 'out' / name)
    for wanted in (1, 2) if name != 'frames' else (5, 30):
        with running(path, resume=True) as process:
            while process.poll() is None and count_files(partial) < wanted:
                time.sleep(0.001)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        assert not path.exists()
        assert count_files(partial) >= wanted
    done = write(path, resume=True)
    assert done >= (30 if name == 'frames' else 2 * NUM_FRAMES)
    assert os.listdir(tmp_path / 'out') == [name]

    whole = tmp_path / f'whole{path.suffix}'
    write(whole)
    if name != 'frames':
        assert read_packets(path) == read_packets(whole)
        np.testing.assert_array_equal(read(path)[0], read(whole)[0])
        assert read(path)[1] == read(whole)[1]
        return
    assert sorted(os.listdir(path)) == sorted(os.listdir(whole))
    for image in os.listdir(whole):
        assert (path / image).read_bytes() == (whole / image).read_bytes()


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
@pytest.mark.parametrize('step', range(12))
def test_a_run_can_end_at_any_step(tmp_path, monkeypatch, name, step):
    """Whatever is renamed or removed last, another run resumes from there."""
    path = tmp_path / name
    total = NUM_FRAMES + 2
    steps = 0

    class Killed(BaseException):
        pass

    def count(operation):
        def counted(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps > step * (8 if name == 'frames' else 1):
                raise Killed
            return operation(*args, **kwargs)

        return counted

    with monkeypatch.context() as patch:
        for operation in ('replace', 'rename', 'fsync', 'unlink', 'rmdir', 'mkdir'):
            patch.setattr(os, operation, count(getattr(os, operation)))
        # Nothing is tidied up.
        patch.setattr(
            'fmanet_mm.video.writer.FrameWriter._interrupt', lambda self: None
        )
        try:
            write(path, total=total)
            was_killed = False
        except Killed:
            was_killed = True
    if was_killed and not path.exists():
        # This process, whose lock it is, has not really ended.
        (partial_of(path) / LOCK).unlink(missing_ok=True)
        write(path, total=total, resume=True)
    assert len(read(path)[0]) == total


# Settings


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_the_settings_are_stored(tmp_path, name):
    interrupt(tmp_path / name, 3)
    job = json.loads((partial_of(tmp_path / name) / 'job.json').read_text())
    assert job['weights'] == 'abc'
    assert job['scale'] == '3/2'
    if name == 'clip.mp4':
        assert job['codec'] == 'libx264'


@pytest.mark.parametrize(
    ('name', 'options', 'message'),
    [
        (
            'clip.mp4',
            dict(settings=SETTINGS | dict(scale=2)),
            "scale was '3/2' and is 2;",
        ),
        (
            'frames',
            dict(settings=SETTINGS | dict(scale=2)),
            "scale was '3/2' and is 2;",
        ),
        (
            'frames',
            dict(settings={}),
            "scale was '3/2' and is None, weights was 'abc' and",
        ),
        ('clip.mp4', dict(crf=20), "crf was '15' and is '20';"),
        ('clip.mp4', dict(codec='libx265'), "codec was 'libx264' and is 'libx265'"),
        (
            'clip.mp4',
            dict(pixel_format='yuv444p'),
            "pixel_format was None and is 'yuv4",
        ),
    ],
)
def test_a_run_with_other_settings_is_not_resumed(tmp_path, name, options, message):
    interrupt(tmp_path / name, 3)
    before = sorted(partial_of(tmp_path / name).rglob('*'))
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name, resume=True, **options)
    assert sorted(partial_of(tmp_path / name).rglob('*')) == before
    assert write(tmp_path / name, resume=True) == 3


def test_a_run_from_another_source_is_not_resumed(tmp_path):
    sources = [tmp_path / 'a.mp4', tmp_path / 'b.mp4']
    for source in sources:
        write(source, total=5, keep_partial=False)

    def restore(source, stop=None, start=None, **resume):
        with open_frames(source, ReadOptions(start=start)) as frames:
            with open_writer(
                tmp_path / 'out.mp4', frames.info, resume=Resume(**resume)
            ) as writer:
                for index, image in enumerate(frames):
                    if index == stop:
                        raise KeyboardInterrupt
                    if index >= writer.num_frames:
                        writer.write(image)

    with pytest.raises(KeyboardInterrupt):
        restore(sources[0], 3, keep_partial=True)
    with pytest.raises(ValueError, match=r'source was .*a.mp4.* and is .*b.mp4'):
        restore(sources[1], enabled=True)
    with pytest.raises(ValueError, match="start was None and is '1/25'"):
        restore(sources[0], start=Fraction(1, 25), enabled=True)
    restore(sources[0], enabled=True)
    assert len(read(tmp_path / 'out.mp4')[0]) == 5


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_frames_of_an_earlier_run_are_not_thrown_away(tmp_path, name):
    interrupt(tmp_path / name, 3)
    message = rf'{name}.partial holds 3 frames of an .* run; resume .*, or remove'
    with pytest.raises(ValueError, match=message):
        write(tmp_path / name)
    assert write(tmp_path / name, resume=True) == 3


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_run_that_keeps_nothing_leaves_an_earlier_one_alone(tmp_path, name):
    interrupt(tmp_path / name, 3)
    write(tmp_path / name, keep_partial=False, total=2)
    assert len(read(tmp_path / name)[0]) == 2
    assert partial_of(tmp_path / name).is_dir()


def test_a_folder_without_settings_is_recreated(tmp_path):
    interrupt(tmp_path / 'frames', 3)
    (partial_of(tmp_path / 'frames') / 'job.json').unlink()
    assert write(tmp_path / 'frames', resume=True) == 0


def test_audio_is_in_resumed_and_in_partial_output(tmp_path):
    source = tmp_path / 'in.mkv'
    with av.open(str(source), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, 'yuv420p'
        sound = container.add_stream('flac', rate=8000)
        sound.codec_context.layout = 'mono'
        container.start_encoding()
        for index in range(50):
            image = av.VideoFrame.from_ndarray(make_image(index), 'rgb24')
            container.mux(video.encode(image))
            tone = np.full((1, 320), 1000 * (index % 9), np.int16)
            samples = av.AudioFrame.from_ndarray(tone, 's16', 'mono')
            samples.sample_rate, samples.pts = 8000, 320 * index
            container.mux(sound.encode(samples))
        container.mux(video.encode())
        container.mux(sound.encode())

    def packets(path):
        with av.open(str(path)) as container:
            return [
                (bytes(p), p.pts) for p in container.demux(audio=0) if p.pts is not None
            ]

    def copy(stop=None, **resume):
        with open_frames(source) as frames:
            with open_writer(
                tmp_path / 'out.mkv', frames.info, resume=Resume(**resume)
            ) as writer:
                for index, (image, time) in enumerate(frames.timed()):
                    if index == stop:
                        raise KeyboardInterrupt
                    if index >= writer.num_frames:
                        writer.write(image, time)

    with pytest.raises(KeyboardInterrupt):
        copy(20, keep_partial=True)
    part = packets(tmp_path / 'out.partial.mkv')
    whole = packets(source)
    assert part == [packet for packet in whole if packet[1] < 20 * 40]
    assert 0 < len(part) < len(whole)
    copy(enabled=True)
    assert packets(tmp_path / 'out.mkv') == whole


# The parts


def test_segments_are_adopted_up_to_the_first_gap(tmp_path):
    folder = WorkFolder(tmp_path / 'clip.mp4', keep=True)
    folder.path.mkdir()
    for name in ('00000000-00000050', '00000050-00000053', '00000060-00000110'):
        (folder.path / f'{name}.segment').touch()
    segments = Segments(folder)
    assert segments.adopt() == segments.num_frames == 53
    path = folder.path / '00000050-00000053.segment'
    assert Segment.of(path) == (path, 50, 53)


def test_what_a_folder_keeps_is_on_the_disk_before_it_has_its_name(
    tmp_path, monkeypatch
):
    done = []

    def note(operation):
        original = getattr(os, operation)

        def noted(*args):
            done.append(operation)
            return original(*args)

        monkeypatch.setattr(os, operation, noted)

    folder = WorkFolder(tmp_path / 'frames', keep=True)
    folder.open(resume=False, count_frames=lambda: 0)
    note('fsync')
    note('replace')
    folder.write('a.png', b'data')
    assert done == ['fsync', 'replace', 'fsync']
    assert (folder.path / 'a.png').read_bytes() == b'data'
