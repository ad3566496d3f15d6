import errno
import logging
import os
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.video.options import ReadOptions, Resume, WriteOptions
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer

SUFFIXES = ['.mp4', '.mov', '.mkv', '.webm', '.avi']


def smooth_frames(num_frames, height, width):
    """Colour gradients that move."""
    y, x = np.mgrid[:height, :width]
    for index in range(num_frames):
        planes = (2 * x + 5 * index, 2 * y + 40, x + y + 3 * index)
        yield np.stack(planes, axis=2).clip(0, 255).astype(np.uint8)


def write(path, frames, source=None, fps=None, **options):
    with open_writer(path, source, WriteOptions(**options), fps=fps) as writer:
        for frame in frames:
            writer.write(frame)
    return writer


# Video files


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('size', [(48, 64), (47, 63), (48, 63), (2, 2), (1, 1)])
def test_frames_come_back(tmp_path, suffix, size):
    path = tmp_path / f'clip{suffix}'
    frames = list(smooth_frames(6, *size))
    writer = write(path, frames, fps=Fraction(30000, 1001))
    assert writer.num_frames == 6
    with open_frames(path) as given:
        assert abs(given.fps - Fraction(30000, 1001)) < Fraction(1, 100)
        given = list(given)
    assert len(given) == 6
    for frame, expected in zip(given, frames, strict=True):
        assert frame.shape == expected.shape
        difference = np.abs(frame.astype(int) - expected)
        assert difference.mean() < 3


def test_the_frame_rate_is_exact(tmp_path):
    write(tmp_path / 'clip.mp4', smooth_frames(5, 48, 64), fps=Fraction(30000, 1001))
    with open_frames(tmp_path / 'clip.mp4') as given:
        assert given.fps == Fraction(30000, 1001)


@pytest.mark.parametrize('suffix', SUFFIXES)
def test_a_single_frame_is_a_video(tmp_path, suffix):
    write(tmp_path / f'clip{suffix}', smooth_frames(1, 48, 64))
    with open_frames(tmp_path / f'clip{suffix}') as given:
        assert len(list(given)) == 1


def test_mp4_is_what_players_know(tmp_path):
    write(tmp_path / 'clip.mp4', smooth_frames(1, 48, 64))
    with av.open(str(tmp_path / 'clip.mp4')) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ('h264', 'yuv420p')
        # BT.709, limited range.
        assert (context.colorspace, context.color_range) == (1, 1)


def test_a_video_is_replaced_only_when_complete(tmp_path):
    path = tmp_path / 'clip.mp4'
    path.write_bytes(b'old')
    with open_writer(path) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        assert path.read_bytes() == b'old'
    with open_frames(path) as given:
        assert len(list(given)) == 1
    assert os.listdir(tmp_path) == ['clip.mp4']


@pytest.mark.parametrize('name', ['new/clip.mp4', 'new/frames'])
def test_an_error_leaves_nothing_half_written(tmp_path, name):
    (tmp_path / 'new').mkdir()
    with pytest.raises(RuntimeError, match='boom'), open_writer(tmp_path / name) as out:
        out.write(np.zeros((48, 64, 3), np.uint8))
        assert os.listdir(tmp_path / 'new')
        raise RuntimeError('boom')
    assert os.listdir(tmp_path / 'new') == []


def test_an_encoder_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'clip.mp4 cannot be .* \(2, 20000\)'):
        write(tmp_path / 'clip.mp4', [np.zeros((2, 20000, 3), np.uint8)])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_no_frames_are_an_error(tmp_path, name):
    with pytest.raises(ValueError, match=f'no frames were given for .*{name}'):
        write(tmp_path / name, [])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_frames_of_another_size_are_named(tmp_path, name):
    frames = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)]
    with pytest.raises(ValueError, match=r'frame 1 for .*\(4, 6\)'):
        write(tmp_path / name, frames)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    'frame',
    [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint16)],
)
def test_only_rgb_of_8_or_16_bits_is_written(tmp_path, frame):
    with pytest.raises(ValueError, match='frame 0 for .* must be'):
        write(tmp_path / 'clip.mp4', [frame])


def test_an_unknown_suffix_is_named(tmp_path):
    with pytest.raises(ValueError, match='clip.doc: a video must end in'):
        open_writer(tmp_path / 'clip.doc')


# Times

FILM = Fraction(24000, 1001)


def times_of(path):
    with open_frames(path) as frames:
        return [frame.time for frame in frames.timed()]


def duration_of(path):
    with av.open(str(path)) as container:
        return container.duration / av.time_base


def make_timed(path, times, tick):
    """A video file with timestamps in units of ``tick`` seconds."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, time_base=tick)
        stream.height, stream.width, stream.pix_fmt = 16, 16, 'yuv420p'
        for index, time in enumerate(times):
            image = np.full((16, 16, 3), 10 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def copy_to(path, source, **part):
    with open_frames(source, ReadOptions(**part)) as frames:
        with open_writer(path, frames.info) as writer:
            for image, time in frames.timed():
                writer.write(image, time)
    return path


@pytest.mark.parametrize('fps', [25, FILM, Fraction(30000, 1001), 60, Fraction(15, 2)])
@pytest.mark.parametrize('suffix', ['.mp4', '.mov'])
def test_constant_rates_are_exact(tmp_path, suffix, fps):
    path = tmp_path / f'clip{suffix}'
    write(path, smooth_frames(7, 16, 16), fps=fps)
    assert times_of(path) == [index / Fraction(fps) for index in range(7)]
    with open_frames(path) as frames:
        assert frames.fps == fps


@pytest.mark.parametrize('suffix', ['.mkv', '.webm'])
def test_matroska_has_milliseconds(tmp_path, suffix):
    path = tmp_path / f'clip{suffix}'
    write(path, smooth_frames(7, 16, 16), fps=FILM)
    expected = [Fraction(round(1000 * index / FILM), 1000) for index in range(7)]
    assert times_of(path) == expected


VARIABLE = [0, 1, 2, 7, 8, 9, 10, 11, 40, 41, 90, 200, 201, 202]


@pytest.mark.parametrize(
    ('source', 'tick', 'target'),
    [
        ('in.mp4', Fraction(1, 90000), 'out.mp4'),
        ('in.mp4', Fraction(1, 12345), 'out.mov'),
        ('in.mkv', Fraction(1, 1000), 'out.mp4'),
        ('in.mkv', Fraction(1, 1000), 'out.mkv'),
        ('in.mkv', Fraction(1, 1000), 'out.webm'),
        ('in.ts', Fraction(1, 90000), 'out.mp4'),
    ],
)
def test_variable_rates_are_exact(tmp_path, source, tick, target):
    # No two steps alike, and frames that are closer than the mean rate lets expect.
    times = [(37 * n + n % 3) * tick for n in VARIABLE]
    source = make_timed(tmp_path / source, times, tick)
    assert times_of(source) == times
    assert times_of(copy_to(tmp_path / target, source)) == times


def test_variable_rates_go_to_the_nearest_millisecond(tmp_path):
    tick = Fraction(1, 90000)
    times = [(3001 * n + n % 3) * tick for n in VARIABLE]
    source = make_timed(tmp_path / 'in.mp4', times, tick)
    given = times_of(copy_to(tmp_path / 'out.mkv', source))
    assert given == [Fraction(round(1000 * time), 1000) for time in times]


def test_avi_has_the_times_of_a_constant_rate(tmp_path):
    path = tmp_path / 'clip.avi'
    times = [Fraction(n, 100) for n in (0, 4, 5, 21, 40)]
    with open_writer(path, fps=25) as writer:
        for image, time in zip(smooth_frames(5, 16, 16), times, strict=True):
            writer.write(image, time)
    # 0.05 is nearest to 0.04, which is taken.
    assert times_of(path) == [Fraction(n, 100) for n in (0, 4, 8, 20, 40)]


def test_a_part_begins_at_its_first_frame(tmp_path):
    tick = Fraction(1, 1000)
    times = [Fraction(n, 1000) for n in (0, 40, 90, 130, 300, 310, 450, 500)]
    source = make_timed(tmp_path / 'in.mp4', times, tick)
    target = copy_to(tmp_path / 'out.mp4', source, start=0.1, end=0.45)
    assert times_of(target) == [Fraction(n, 1000) for n in (0, 170, 180)]
    with av.open(str(target)) as container:
        assert container.streams.video[0].start_time == 0


def test_frames_without_times_follow_the_rate(tmp_path):
    source = make_timed(
        tmp_path / 'in.mp4', [Fraction(n, 25) for n in range(6)], 1 / Fraction(12800)
    )
    with open_frames(source, ReadOptions(start=0.08)) as frames:
        with open_writer(tmp_path / 'out.mp4', frames.info) as writer:
            for image in frames:
                writer.write(image)
    assert times_of(tmp_path / 'out.mp4') == [Fraction(n, 25) for n in range(4)]


def test_times_must_grow(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=r'frame 1 for .*clip.mp4 .* 0.5 s, .* 0.5 s'):
        with open_writer(tmp_path / 'clip.mp4') as writer:
            writer.write(image, Fraction(1, 2))
            writer.write(image, Fraction(1, 2))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('suffix', SUFFIXES)
@pytest.mark.parametrize('num_frames', [1, 2])
def test_short_clips_last_as_long_as_their_frames(tmp_path, suffix, num_frames):
    path = tmp_path / f'clip{suffix}'
    write(path, smooth_frames(num_frames, 16, 16), fps=5)
    assert duration_of(path) == pytest.approx(num_frames / 5, abs=1e-3)
    assert len(times_of(path)) == num_frames


# What is encoded


@pytest.mark.parametrize('suffix', ['.mp4', '.mov', '.mkv', '.avi'])
def test_the_shape_of_pixels_is_kept(tmp_path, suffix):
    with av.open(str(tmp_path / 'in.mp4'), 'w') as container:
        stream = container.add_stream('libx264', rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, 'yuv420p'
        stream.sample_aspect_ratio = Fraction(16, 11)
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), 'rgb24')
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    target = copy_to(tmp_path / f'out{suffix}', tmp_path / 'in.mp4')
    with open_frames(target) as frames:
        assert frames.info.sample_aspect_ratio == Fraction(16, 11)


def test_a_lost_shape_of_pixels_is_reported(tmp_path, caplog):
    write(tmp_path / 'in.mp4', smooth_frames(1, 16, 16))
    with open_frames(tmp_path / 'in.mp4') as frames:
        info = replace(frames.info, sample_aspect_ratio=Fraction(4, 3))
        write(tmp_path / 'out.webm', frames, info)
    (message,) = caplog.messages
    assert 'out.webm will be shown in the wrong shape: libvpx-vp9' in message


@pytest.mark.parametrize(
    ('suffix', 'codec', 'name', 'pixel_format'),
    [
        ('.mp4', None, 'h264', 'yuv420p10le'),
        ('.mkv', 'hevc', 'hevc', 'yuv420p10le'),
        ('.mp4', 'libsvtav1', 'av1', 'yuv420p10le'),
        ('.mov', 'prores_ks', 'prores', 'yuv422p10le'),
        ('.webm', None, 'vp9', 'yuv420p'),
    ],
)
def test_frames_of_16_bits_get_10_if_the_codec_can(
    tmp_path, suffix, codec, name, pixel_format
):
    path = tmp_path / f'clip{suffix}'
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    image = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (64, 256, 3)))
    write(path, [image] * 3, codec=codec, crf=None if codec == 'prores_ks' else 1)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.codec.canonical_name == name
        assert context.pix_fmt == pixel_format
    with open_frames(path, ReadOptions(keep_depth=True)) as frames:
        assert frames.dtype == (np.uint8 if suffix == '.webm' else np.uint16)
        white = np.iinfo(frames.dtype).max
        for frame in frames:
            np.testing.assert_allclose(frame / white, image / 65535, atol=0.012)
            assert abs((frame / white - image / 65535).mean()) < 1e-3


def test_codec_quality_and_pixel_format_are_used(tmp_path):
    path = tmp_path / 'clip.mkv'
    sizes = []
    for crf in (1, 51):
        write(
            path,
            noise(9),
            codec='hevc',
            crf=crf,
            pixel_format='yuv444p',
        )
        sizes.append(path.stat().st_size)
    assert sizes[0] > 5 * sizes[1]
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ('hevc', 'yuv444p')


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.mov'])
def test_hevc_in_mp4_is_tagged_as_all_players_know(tmp_path, name):
    write(tmp_path / name, smooth_frames(2, 48, 64), codec='hevc')
    with av.open(str(tmp_path / name)) as container:
        assert container.streams.video[0].codec_context.codec_tag == 'hvc1'


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [
        ('.mkv', 'ffv1'),
        ('.avi', 'ffv1'),
        ('.mp4', 'mpeg4'),
        ('.avi', 'mpeg4'),
        ('.avi', 'mjpeg'),
        ('.mkv', 'mjpeg'),
        ('.avi', 'libx264'),
        ('.mov', 'prores'),
    ],
)
def test_other_codecs_give_the_same_colours(tmp_path, suffix, codec):
    path = tmp_path / f'clip{suffix}'
    frames = list(smooth_frames(4, 48, 64))
    write(path, frames, codec=codec)
    with open_frames(path) as given:
        for frame, expected in zip(given, frames, strict=True):
            assert np.abs(frame.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(codec='h256'), "codec 'h256' is unknown; available are .*libx264"),
        (dict(codec='libvpx'), "'libvpx' does not go into mp4 files"),
        (dict(crf=99), 'crf of libx264 must be within 0 and 51, got 99'),
        (dict(codec='ffv1', crf=3), 'ffv1 has no constant rate factor'),
        (
            dict(pixel_format='rgb'),
            "libx264 has no pixel format 'rgb'; available are yuv",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused_at_once(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        open_writer(tmp_path / 'clip.mp4', options=WriteOptions(**options))
    assert os.listdir(tmp_path) == []


def test_an_even_pixel_format_takes_no_odd_frames(tmp_path):
    message = r'clip.mp4 cannot be written: libx264 does not .* \(47, 63\) in yuv420p'
    with pytest.raises(ValueError, match=message):
        write(tmp_path / 'clip.mp4', smooth_frames(1, 47, 63), pixel_format='yuv420p')
    assert os.listdir(tmp_path) == []


# Where nothing can be written


@contextmanager
def largest_file(num_bytes):
    """Let writing fail as on a full disk."""
    resource = pytest.importorskip('resource', reason='needs POSIX')
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def noise(num_frames):
    generator = np.random.default_rng(0)
    for _ in range(num_frames):
        yield generator.integers(0, 256, (48, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.mkv', 'clip.avi', 'frames'])
@pytest.mark.parametrize('num_bytes', [100, 7000])
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, name, num_bytes):
    with largest_file(num_bytes):
        with pytest.raises(
            OSError, match=f'{name} cannot be written: File too'
        ) as error:
            write(tmp_path / name, noise(60))
    assert error.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_file_in_place_of_the_parent_is_named(tmp_path, name):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match=f'file/{name} cannot be written: Not a dir'):
        write(tmp_path / 'file' / name, smooth_frames(1, 16, 16))


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_read_only_folder_is_reported_before_the_first_frame(
    tmp_path, monkeypatch, name
):
    def refuse(path, *args):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    # Permissions do not stop the superuser, who may run this.
    monkeypatch.setattr(os, 'mkdir', refuse)
    with pytest.raises(PermissionError, match=f'{name} cannot be written: Permission'):
        with open_writer(tmp_path / name):
            pytest.fail('the block began')


@pytest.mark.parametrize('name', ['clip.mp4', 'frames'])
def test_a_parent_is_made(tmp_path, name):
    write(tmp_path / 'a' / 'b' / name, smooth_frames(1, 16, 16))
    assert os.listdir(tmp_path / 'a' / 'b') == [name]


def test_the_input_is_not_overwritten(tmp_path):
    write(tmp_path / 'clip.mp4', smooth_frames(1, 16, 16))
    before = (tmp_path / 'clip.mp4').read_bytes()
    with open_frames(tmp_path / 'clip.mp4') as frames:
        with pytest.raises(ValueError, match='clip.mp4 is the input; choose another'):
            open_writer(tmp_path / '.' / 'clip.mp4', frames.info)
    assert (tmp_path / 'clip.mp4').read_bytes() == before


@pytest.mark.parametrize('suffix', ['.mp4', '.mkv', ''])
def test_names_need_not_be_utf_8(tmp_path, suffix, caplog):
    # Workers that run tests can only send UTF-8 to the process that reports.
    caplog.set_level(logging.CRITICAL, logger='fmanet_mm')
    name = os.fsdecode(b'\xff\xe9')
    try:
        (tmp_path / name).touch()
        (tmp_path / name).unlink()
    except (OSError, UnicodeError):
        pytest.skip('the file system takes UTF-8 names only')
    path = tmp_path / f'{name}{suffix}'
    with pytest.raises(KeyboardInterrupt):
        with open_writer(path, resume=Resume(keep_partial=True)) as writer:
            for frame in smooth_frames(2, 16, 16):
                writer.write(frame)
            raise KeyboardInterrupt
    with open_writer(path, resume=Resume(enabled=True)) as writer:
        assert writer.num_frames == 2
        for frame in smooth_frames(1, 16, 16):
            writer.write(frame)
    assert os.listdir(tmp_path) == [path.name]
    target = tmp_path / f'{name} copy{suffix}'
    copy_to(target, path)
    assert len(times_of(target)) == 3


# Folders of images


def test_images_are_lossless_rgb_in_eight_digits(tmp_path):
    frames = list(smooth_frames(3, 5, 7))
    write(tmp_path / 'new' / 'frames', frames)
    names = sorted(os.listdir(tmp_path / 'new' / 'frames'))
    assert names == ['00000000.png', '00000001.png', '00000002.png']
    image = cv2.imread(str(tmp_path / 'new' / 'frames' / names[2]))
    np.testing.assert_array_equal(image[..., ::-1], frames[2])
    assert os.listdir(tmp_path / 'new') == ['frames']


def test_images_get_the_given_names(tmp_path):
    write(tmp_path / 'frames', smooth_frames(2, 5, 7), filenames=['b.png', 'a.png'])
    assert sorted(os.listdir(tmp_path / 'frames')) == ['a.png', 'b.png']


def test_an_empty_folder_is_filled(tmp_path):
    folder = tmp_path / 'frames.v1'
    folder.mkdir()
    write(folder, smooth_frames(1, 5, 7))
    assert os.listdir(folder) == ['00000000.png']


def test_a_folder_with_files_is_refused(tmp_path):
    write(tmp_path / 'frames', smooth_frames(1, 5, 7))
    with pytest.raises(ValueError, match='frames is not empty'):
        open_writer(tmp_path / 'frames')
    assert os.listdir(tmp_path / 'frames') == ['00000000.png']


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / 'frames').write_text('')
    with pytest.raises(ValueError, match='frames is a file'):
        open_writer(tmp_path / 'frames')


def test_names_that_are_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match='two frames .* named a.png'):
        write(tmp_path / 'x', smooth_frames(2, 5, 7), filenames=['a.png', 'a.png'])
    assert os.listdir(tmp_path) == []


def test_names_of_no_image_are_refused(tmp_path):
    with pytest.raises(ValueError, match='a.doc is not a name for an image'):
        write(tmp_path / 'x', smooth_frames(1, 5, 7), filenames=['a.doc'])
    assert os.listdir(tmp_path) == []


def test_images_of_16_bits_are_written_bit_by_bit(tmp_path):
    image = np.random.default_rng(0).integers(0, 65536, (5, 7, 3)).astype(np.uint16)
    names = ['a.png', 'b.tif', 'c.bmp']
    write(tmp_path / 'frames', [image] * 3, filenames=names)
    for name in names[:2]:
        given = cv2.imread(str(tmp_path / 'frames' / name), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(given[..., ::-1], image)
    given = cv2.imread(str(tmp_path / 'frames' / names[2]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(given[..., ::-1], np.rint(image / 257))


# In parts


def test_times_are_rounded_alike_whichever_frames_are_written(tmp_path):
    times = [Fraction(n, 100) for n in (0, 1, 2, 9, 10, 16, 40)]
    with open_writer(tmp_path / 'out.avi', fps=25) as writer:
        snapped = [writer.snap(time) for time in times]
        assert snapped == [Fraction(n, 25) for n in (0, 1, 2, 3, 4, 5, 10)]
        for number in (4, 5):
            writer.write(np.zeros((8, 8, 3), np.uint8), snapped[number], number)
        for number in range(4):
            writer.write(np.zeros((8, 8, 3), np.uint8), snapped[number], number)
    with open_writer(tmp_path / 'out') as writer:
        assert [writer.snap(time) for time in times] == times
        writer.write(np.zeros((8, 8, 3), np.uint8))
    with open_frames(tmp_path / 'out.avi') as frames:
        assert [frame.time for frame in frames.timed()] == snapped[:6]
