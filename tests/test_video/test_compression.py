"""Frames through an encoder and back."""

import cv2
import numpy as np
import pytest
from helpers import noise_images

from fmanet_mm.utils.quality import psnr
from fmanet_mm.video.compression import compress_frames
from fmanet_mm.video.options import WriteOptions
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer


def smooth_images(num_frames, size):
    """A texture that a codec can keep, moving by a pixel a frame."""
    noise = noise_images(1, (size[0], size[1] + num_frames))[0]
    texture = cv2.GaussianBlur(noise, (0, 0), 2)
    texture = cv2.normalize(texture, None, 30, 220, cv2.NORM_MINMAX)
    return [
        np.ascontiguousarray(texture[:, shift : shift + size[1]])
        for shift in range(num_frames)
    ]


def mean_psnr(frames, originals):
    return np.mean([psnr(*pair) for pair in zip(frames, originals, strict=True)])


@pytest.mark.parametrize('size', [(32, 48), (33, 47)])
def test_frames_keep_their_number_order_and_size(size):
    frames = smooth_images(5, size)
    compressed = compress_frames(iter(frames), crf=1)
    assert [frame.shape for frame in compressed] == [frame.shape for frame in frames]
    assert {frame.dtype for frame in compressed} == {np.dtype('uint8')}
    likeness = np.array([[psnr(a, b) for b in frames] for a in compressed])
    assert likeness.argmax(1).tolist() == [*range(5)]


def test_flat_colours_survive():
    colour = (200, 100, 50)
    frames = [np.full((32, 32, 3), colour, np.uint8)] * 3
    for frame in compress_frames(frames, crf=10):
        assert np.abs(frame.astype(int) - colour).max() <= 2


def test_a_larger_factor_loses_more():
    frames = smooth_images(3, (48, 64))
    quality = [
        mean_psnr(compress_frames(frames, crf), frames) for crf in (10, 23, 35, 51)
    ]
    assert quality == sorted(quality, reverse=True)
    assert quality[0] - quality[-1] > 10


def test_it_is_what_a_video_file_of_that_quality_holds(tmp_path):
    """Within half a decibel: the number of threads and the clock differ.

    For grey, so that the matrix of colours does not matter.
    """
    frames = [image[..., [0, 0, 0]] for image in smooth_images(4, (32, 48))]
    options = WriteOptions(codec='libx264', crf=30)
    with open_writer(tmp_path / 'clip.mp4', options=options, fps=30) as writer:
        for frame in frames:
            writer.write(frame)
    with open_frames(tmp_path / 'clip.mp4') as reader:
        in_file = [*reader]
    assert mean_psnr(compress_frames(frames, 30), frames) == pytest.approx(
        mean_psnr(in_file, frames), abs=0.5
    )


def test_it_is_repeatable():
    frames = smooth_images(3, (48, 64))
    first, second = (compress_frames(frames, 27.5) for _ in range(2))
    assert all(map(np.array_equal, first, second))


def test_frames_that_cannot_be_a_clip():
    with pytest.raises(ValueError, match='at least one frame.*got shapes'):
        compress_frames([], 23)
    frames = [np.zeros((32, 32, 3), np.uint8), np.zeros((32, 34, 3), np.uint8)]
    with pytest.raises(ValueError, match=r'\(32, 32, 3\), \(32, 34, 3\)'):
        compress_frames(frames, 23)
    with pytest.raises(ValueError, match='crf of libx264 must be within 0 and 51'):
        compress_frames(frames[:1], 52)
