import zlib
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.video.limits import Limits
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames


def write_raw(path, *sizes):
    """H.264 without a container; frames of one size after the other."""
    path.write_bytes(b'')
    for width, height in sizes:
        part = path.with_suffix('.part')
        with av.open(str(part), 'w', format='h264') as container:
            stream = container.add_stream('libx264', rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, 'yuv420p'
            image = np.full((height, width, 3), 50, np.uint8)
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        path.write_bytes(path.read_bytes() + part.read_bytes())
    return path


def write_png(path, width, height):
    """Write a small image that says it is of another size."""
    data = bytearray(cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes())
    data[16:24] = width.to_bytes(4, 'big') + height.to_bytes(4, 'big')
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    path.write_bytes(data)


def test_frames_at_the_limit_are_read(tmp_path, make_video, make_folder):
    limits = Limits(max_pixels=48 * 64, max_seconds=0.2)
    with open_frames(
        make_video(tmp_path / 'a.mp4'), ReadOptions(limits=limits)
    ) as frames:
        assert len(list(frames)) == 5
    image = np.zeros((48, 64), np.uint8)
    folder = make_folder(tmp_path / 'b', {f'{i}.png': image for i in range(5)})
    with open_frames(folder, ReadOptions(limits=limits)) as frames:
        assert len(list(frames)) == 5


@pytest.mark.parametrize('name', ['clip.mp4', 'clip.mkv'])
def test_large_frames_of_videos_are_refused(tmp_path, make_video, name):
    path = make_video(tmp_path / name)
    limits = Limits(max_pixels=48 * 64 - 1)
    message = rf'{name} has .*\(48, 64\), more than max_pixels = 3071; raise it'
    with pytest.raises(ValueError, match=message):
        open_frames(path, ReadOptions(limits=limits))


def test_nothing_is_decoded_to_find_that_frames_are_large(tmp_path):
    path = tmp_path / 'clip.y4m'
    path.write_text('YUV4MPEG2 W12000 H12000 F25:1 C420\nFRAME\n' + 10 * 'x')
    with pytest.raises(ValueError, match=r'\(12000, 12000\), more than max_pixels'):
        open_frames(path)


def test_frames_larger_than_the_header_says_are_refused(tmp_path):
    path = write_raw(tmp_path / 'clip.h264', (64, 48), (1280, 720))
    given = []
    with open_frames(path, ReadOptions(limits=Limits(max_pixels=48 * 64))) as frames:
        with pytest.raises(ValueError, match=r'\(720, 1280\), more than max_pixels'):
            for frame in frames:
                given.append(frame.shape)
    assert given == [(48, 64, 3)] * 3


def test_a_header_does_not_hide_large_frames_from_the_decoder(tmp_path):
    path = tmp_path / 'clip.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, 'yuv420p'
        image = np.full((720, 1280, 3), 50, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    data = bytearray(path.read_bytes())
    size = data.index(b'mp4v') + 28
    assert data[size : size + 4] == bytes.fromhex('050002d0')
    data[size : size + 4] = bytes.fromhex('00400030')
    path.write_bytes(data)
    with pytest.raises(ValueError, match='frame 0: .* larger than max_pixels = 3072'):
        open_frames(path, ReadOptions(limits=Limits(max_pixels=48 * 64)))


def test_large_images_are_refused(tmp_path, make_folder):
    folder = make_folder(tmp_path / 'a', {'0.png': np.zeros((4, 4), np.uint8)})
    write_png(folder / '1.png', 9000, 8000)
    given = []
    with open_frames(folder) as frames:
        message = r'a ends at frame 1: .*1.png has .*\(8000, 9000\), .* max_pixels'
        with pytest.raises(ValueError, match=message):
            for frame in frames:
                given.append(frame)
    assert len(given) == 1
    with pytest.raises(ValueError, match=r'0.png .*\(4, 4\), more than max_pixels = 9'):
        open_frames(folder, ReadOptions(limits=Limits(max_pixels=9)))


def test_images_that_pillow_refuses_are_named(tmp_path):
    write_png(tmp_path / '0.png', 50000, 50000)
    with pytest.raises(ValueError, match='0.png is too large .*MAX_IMAGE_PIXELS'):
        open_frames(tmp_path, ReadOptions(limits=Limits(max_pixels=None)))


def test_long_videos_are_refused(tmp_path, make_video):
    path = make_video(tmp_path / 'clip.mkv')
    limits = Limits(max_seconds=0.1)
    message = 'clip.mkv lasts 0.2 s, more than max_seconds = 0.1; pass an end'
    with pytest.raises(ValueError, match=message):
        open_frames(path, ReadOptions(limits=limits))
    with open_frames(path, ReadOptions(end=0.1, limits=limits)) as frames:
        assert len(list(frames)) == 3


def test_videos_that_do_not_say_how_long_they_are_end_at_the_limit(tmp_path):
    path = write_raw(tmp_path / 'clip.h264', (64, 48), (64, 48))
    times = []
    with open_frames(path, ReadOptions(limits=Limits(max_seconds=0.1))) as frames:
        assert frames.num_frames is None
        with pytest.raises(ValueError, match='more than max_seconds = 0.1'):
            for frame in frames.timed():
                times.append(frame.time)
    assert times == [0, Fraction(1, 25), Fraction(2, 25)]


def test_long_folders_are_refused(tmp_path, make_folder):
    images = {f'{i}.png': np.zeros((4, 4), np.uint8) for i in range(5)}
    folder = make_folder(tmp_path / 'a', images)
    with pytest.raises(ValueError, match='a lasts 5 s, more than max_seconds = 4'):
        open_frames(folder, ReadOptions(folder_fps=1, limits=Limits(max_seconds=4)))
    with pytest.raises(ValueError, match='a lasts 5 s, more than max_seconds = 4'):
        open_frames(
            folder, ReadOptions(start=3, folder_fps=1, limits=Limits(max_seconds=4))
        )
    options = ReadOptions(end=4, folder_fps=1, limits=Limits(max_seconds=4))
    assert len(list(open_frames(folder, options))) == 4


@pytest.mark.parametrize('name', ['max_pixels', 'max_seconds'])
@pytest.mark.parametrize('value', [0, -1])
def test_limits_must_be_positive(name, value):
    with pytest.raises(ValueError, match=f'{name} must be positive or None, got'):
        Limits(**{name: value})
