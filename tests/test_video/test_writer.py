import os
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from fmanet_mm.video import open_frames, open_writer

SUFFIXES = ['.mp4', '.mov', '.mkv', '.webm', '.avi']


def smooth_frames(num_frames, height, width):
    """Colour gradients that move."""
    y, x = np.mgrid[:height, :width]
    for index in range(num_frames):
        planes = (2 * x + 5 * index, 2 * y + 40, x + y + 3 * index)
        yield np.stack(planes, axis=2).clip(0, 255).astype(np.uint8)


def write(path, frames, **kwargs):
    with open_writer(path, **kwargs) as writer:
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
    'frame', [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4))]
)
def test_only_uint8_rgb_is_written(tmp_path, frame):
    with pytest.raises(ValueError, match='frame 0 for .* must be'):
        write(tmp_path / 'clip.mp4', [frame])


def test_an_unknown_suffix_is_named(tmp_path):
    with pytest.raises(ValueError, match='clip.doc: a video must end in'):
        open_writer(tmp_path / 'clip.doc')


# Folders of images


def test_images_are_lossless_rgb_in_eight_digits(tmp_path):
    frames = list(smooth_frames(3, 5, 7))
    write(tmp_path / 'new' / 'frames', frames)
    names = sorted(os.listdir(tmp_path / 'new' / 'frames'))
    assert names == ['00000000.png', '00000001.png', '00000002.png']
    image = cv2.imread(str(tmp_path / 'new' / 'frames' / names[2]))
    np.testing.assert_array_equal(image[..., ::-1], frames[2])
    assert os.listdir(tmp_path / 'new') == ['frames']


def test_images_get_the_names_they_are_told(tmp_path):
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
    with pytest.raises(ValueError, match='a.doc is no name for an image'):
        write(tmp_path / 'x', smooth_frames(1, 5, 7), filenames=['a.doc'])
    assert os.listdir(tmp_path) == []
