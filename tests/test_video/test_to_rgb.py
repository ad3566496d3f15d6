"""Colours, depth and orientation of decoded video."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from fmanet_mm.video.colour import to_rgb
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames

BT709, BT601, SMPTE170M, BT2020 = 1, 5, 6, 9
LIMITED, FULL = 1, 2


def write_flat(
    path,
    planes,
    pixel_format='yuv420p',
    matrix=BT709,
    color_range=LIMITED,
    size=(48, 64),
    codec='ffv1',
):
    """Write one frame whose planes are constant."""
    with av.open(str(path), 'w') as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = size
        stream.pix_fmt = pixel_format
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = color_range
        frame = av.VideoFrame(size[1], size[0], pixel_format)
        dtype = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
        for plane, value in zip(frame.planes, planes, strict=True):
            plane.update(np.full(plane.buffer_size // dtype().itemsize, value, dtype))
        frame.colorspace, frame.color_range = matrix, color_range
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_flat(path, **kwargs):
    """RGB of a frame that is all the same."""
    with open_frames(path, ReadOptions(**kwargs)) as frames:
        (frame,) = frames
    assert frame.dtype == frames.dtype
    assert (frame == frame[0, 0]).all()
    return frame[0, 0].tolist()


# R, G, B of Y, Cb, Cr = 100, 110, 150, from the equations of the standards.
RGB_8_BIT = [
    (BT601, LIMITED, (132.92, 86.97, 61.50)),
    (SMPTE170M, LIMITED, (132.92, 86.97, 61.50)),
    (BT601, FULL, (130.84, 90.48, 68.10)),
    (BT709, LIMITED, (137.25, 89.92, 59.78)),
    (BT709, FULL, (134.65, 93.07, 66.60)),
    (BT2020, LIMITED, (134.74, 86.87, 59.26)),
    (BT2020, FULL, (132.44, 90.39, 66.13)),
]


@pytest.mark.parametrize('pixel_format', ['yuv420p', 'yuv444p'])
@pytest.mark.parametrize(('matrix', 'color_range', 'expected'), RGB_8_BIT)
def test_range_and_matrix(tmp_path, matrix, color_range, expected, pixel_format):
    path = tmp_path / 'clip.mkv'
    write_flat(path, (100, 110, 150), pixel_format, matrix, color_range)
    np.testing.assert_allclose(read_flat(path), expected, atol=0.51)


@pytest.mark.parametrize(('matrix', 'color_range', 'expected'), RGB_8_BIT[::3])
def test_range_and_matrix_of_mp4(tmp_path, matrix, color_range, expected):
    path = tmp_path / 'clip.mp4'
    write_flat(path, (100, 110, 150), 'yuv420p', matrix, color_range, codec='libx264')
    np.testing.assert_allclose(read_flat(path), expected, atol=1.6)


@pytest.mark.parametrize(
    ('color_range', 'black', 'white'), [(LIMITED, 16, 235), (FULL, 0, 255)]
)
def test_black_and_white_span_the_range(tmp_path, color_range, black, white):
    for value, expected in ((black, 0), (white, 255)):
        path = write_flat(
            tmp_path / 'clip.mkv', (value, 128, 128), color_range=color_range
        )
        assert read_flat(path) == [expected] * 3


# The same of Y, Cb, Cr = 401, 441, 599 in 10 bits, of 65535.
RGB_10_BIT = [
    (BT601, LIMITED, (34132.9, 22454.4, 16009.4)),
    (BT601, FULL, (33502.5, 23273.8, 17629.0)),
    (BT709, LIMITED, (35232.5, 23205.5, 15575.3)),
    (BT709, FULL, (34465.6, 23931.7, 17248.7)),
    (BT2020, LIMITED, (34594.9, 22430.3, 15441.3)),
    (BT2020, FULL, (33907.2, 23252.8, 17131.4)),
]


@pytest.mark.parametrize(('matrix', 'color_range', 'expected'), RGB_10_BIT)
def test_ten_bits(tmp_path, matrix, color_range, expected):
    path = write_flat(
        tmp_path / 'clip.mkv', (401, 441, 599), 'yuv420p10le', matrix, color_range
    )
    np.testing.assert_allclose(read_flat(path, keep_depth=True), expected, atol=5)
    np.testing.assert_allclose(read_flat(path), np.array(expected) / 257, atol=0.51)


@pytest.mark.parametrize(
    ('pixel_format', 'color_range', 'white'),
    [
        ('yuv420p10le', LIMITED, (940, 512, 512)),
        ('yuv420p10le', FULL, (1023, 512, 512)),
        ('yuv422p10le', LIMITED, (940, 512, 512)),
        ('yuv444p12le', LIMITED, (3760, 2048, 2048)),
        ('yuv444p12le', FULL, (4095, 2048, 2048)),
        ('yuv444p16le', FULL, (65535, 32768, 32768)),
        ('gray10le', FULL, (1023,)),
        ('gray16le', FULL, (65535,)),
        ('gbrp10le', FULL, (1023, 1023, 1023)),
    ],
)
def test_deep_white_is_white(tmp_path, pixel_format, color_range, white):
    matrix = 0 if pixel_format.startswith('gbr') else BT709
    path = write_flat(tmp_path / 'clip.mkv', white, pixel_format, matrix, color_range)
    np.testing.assert_allclose(read_flat(path, keep_depth=True), 65535, atol=5)
    assert read_flat(path) == [255, 255, 255]


@pytest.mark.parametrize('color_range', [0, LIMITED, FULL])
def test_grey_spans_all_values_whatever_its_range_says(color_range):
    frame = av.VideoFrame(8, 8, 'gray10le')
    frame.planes[0].update(np.full(frame.planes[0].buffer_size // 2, 512, np.uint16))
    frame.color_range = color_range
    given = to_rgb(frame, VideoReformatter(), np.uint16)
    np.testing.assert_allclose(given, 65535 * 512 / 1023, atol=1)


def test_depth_is_kept_only_where_there_is_some(tmp_path):
    path = write_flat(tmp_path / 'clip.mkv', (235, 128, 128))
    with open_frames(path, ReadOptions(keep_depth=True)) as frames:
        assert frames.dtype == np.uint8
    assert read_flat(path, keep_depth=True) == [255, 255, 255]


def test_ten_bits_of_h264(tmp_path):
    path = write_flat(
        tmp_path / 'clip.mp4', (401, 441, 599), 'yuv420p10le', codec='libx264'
    )
    with open_frames(path, ReadOptions(keep_depth=True)) as frames:
        assert frames.dtype == np.uint16
        (frame,) = frames
    expected = (35232.5, 23205.5, 15575.3)
    np.testing.assert_allclose(frame.mean((0, 1)), expected, atol=150)


@pytest.mark.parametrize(
    ('pixel_format', 'planes', 'expected'),
    [('gray', (77,), [77, 77, 77]), ('gbrp', (30, 20, 10), [10, 30, 20])],
)
def test_grey_and_rgb_video(tmp_path, pixel_format, planes, expected):
    matrix = 0 if pixel_format == 'gbrp' else 2
    path = tmp_path / 'clip.avi'
    write_flat(path, planes, pixel_format, matrix, FULL, codec='ffvhuff')
    assert read_flat(path) == expected


def test_names_a_matrix_that_cannot_be_converted(tmp_path):
    path = write_flat(tmp_path / 'clip.mkv', (100, 110, 150), 'yuv444p', matrix=8)
    with pytest.raises(ValueError, match='clip.mkv has colours .*yuv444p, matrix 8'):
        open_frames(path)


@pytest.mark.parametrize('size', [(47, 63), (1, 1), (5, 4), (2, 7)])
@pytest.mark.parametrize('pixel_format', ['yuv420p', 'yuv420p10le'])
def test_odd_sizes(tmp_path, size, pixel_format):
    deep = pixel_format.endswith('10le')
    planes = (401, 441, 599) if deep else (100, 110, 150)
    path = write_flat(tmp_path / 'clip.mkv', planes, pixel_format, size=size)
    with open_frames(path) as frames:
        assert (frames.height, frames.width) == size
        (frame,) = frames
    assert frame.shape == (*size, 3)
    np.testing.assert_allclose(
        frame.reshape(-1, 3), np.tile((137, 90, 60), (size[0] * size[1], 1)), atol=1
    )


# Orientation


def write_turned(path, ratio=None, **rotation):
    """Write a video whose corners are, as stored: red, green / blue, white."""
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32, 0] = image[:24, 32:, 1] = image[24:, :32, 2] = 255
    image[24:, 32:] = 255
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'crf': '4'})
        stream.height, stream.width, stream.pix_fmt = 48, 64, 'yuv444p'
        if ratio is not None:
            stream.codec_context.sample_aspect_ratio = ratio
        if rotation:
            stream.set_display_rotation(**rotation)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(image, 'rgb24')))
        container.mux(stream.encode())
    return path


def name_corners(frame):
    names = {(1, 0, 0): 'r', (0, 1, 0): 'g', (0, 0, 1): 'b', (1, 1, 1): 'w'}
    corners = frame[4], frame[-4]
    return ' '.join(
        ''.join(names[tuple((row[x] > 128).astype(int))] for x in (4, -4))
        for row in corners
    )


@pytest.mark.parametrize(
    ('degrees', 'hflip', 'vflip', 'expected'),
    [
        (0, False, False, 'rg bw'),
        (90, False, False, 'gw rb'),  # counterclockwise
        (180, False, False, 'wb gr'),
        (-90, False, False, 'br wg'),
        (270, False, False, 'br wg'),
        (0, True, False, 'gr wb'),
        (0, False, True, 'bw rg'),
        (90, True, False, 'wg br'),
        (90, False, True, 'rb gw'),
        (88, False, False, 'gw rb'),
    ],
)
@pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv'])
def test_frames_are_turned_upright(tmp_path, suffix, degrees, hflip, vflip, expected):
    path = write_turned(
        tmp_path / f'clip.{suffix}', degrees=degrees, hflip=hflip, vflip=vflip
    )
    with open_frames(path) as frames:
        (frame,) = frames
        assert frame.shape == (frames.height, frames.width, 3)
    assert frame.shape[:2] == ((48, 64) if degrees in (0, 180) else (64, 48))
    assert frame.flags.c_contiguous
    assert name_corners(frame) == expected


# Sample aspect ratio


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'mov'])
@pytest.mark.parametrize(
    ('degrees', 'expected'), [(0, (16, 11)), (90, (11, 16)), (180, (16, 11))]
)
def test_sample_aspect_ratio(tmp_path, suffix, degrees, expected):
    ratio = Fraction(16, 11)
    path = write_turned(tmp_path / f'clip.{suffix}', ratio, degrees=degrees)
    with open_frames(path) as frames:
        assert frames.info.sample_aspect_ratio == Fraction(*expected)


def test_pixels_are_square_unless_the_file_says_otherwise(tmp_path):
    with open_frames(write_turned(tmp_path / 'clip.mp4')) as frames:
        assert frames.info.sample_aspect_ratio == 1
