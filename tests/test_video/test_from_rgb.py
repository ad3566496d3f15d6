import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter

from fmanet_mm.video.clip_info import Colours
from fmanet_mm.video.colour import from_rgb, tag_colours

COLOURS = {
    'black': (0, 0, 0),
    'white': (255, 255, 255),
    'red': (255, 0, 0),
    'green': (0, 255, 0),
    'blue': (0, 0, 255),
}
# ITU-R BT.709, 8 bits in limited range.
YUV = {
    'black': (16, 128, 128),
    'white': (235, 128, 128),
    'red': (63, 102, 240),
    'green': (173, 42, 26),
    'blue': (32, 240, 118),
}


def convert(rgb, dtype, pixel_format):
    """Give Y, U and V of an image of one colour."""
    white = np.iinfo(dtype).max
    image = np.full((16, 16, 3), np.array(rgb) / 255 * white, dtype)
    frame = from_rgb(image, pixel_format, VideoReformatter())
    depth = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    return [int(np.frombuffer(bytes(plane), depth)[0]) for plane in frame.planes]


@pytest.mark.parametrize('name', COLOURS)
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ('pixel_format', 'factor'), [('yuv420p', 1), ('yuv444p', 1), ('yuv420p10le', 4)]
)
def test_yuv_is_bt709_in_limited_range(name, dtype, pixel_format, factor):
    yuv = convert(COLOURS[name], dtype, pixel_format)
    expected = np.array(YUV[name]) * factor
    np.testing.assert_allclose(yuv, expected, atol=1 if factor == 1 else 2)


def test_yuv_of_bt601():
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 255
    frame = from_rgb(image, 'yuv420p', VideoReformatter(), matrix=5)
    yuv = [bytes(plane)[0] for plane in frame.planes]
    np.testing.assert_allclose(yuv, (81, 90, 240), atol=1)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
def test_yuvj_is_in_full_range(dtype):
    for grey in (0, 100, 255):
        yuv = convert((grey, grey, grey), dtype, 'yuvj420p')
        np.testing.assert_allclose(yuv, (grey, 128, 128), atol=1)


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ('pixel_format', 'white'), [('gbrp', 255), ('gbrp16le', 65535)]
)
def test_rgb_stays_rgb(dtype, pixel_format, white):
    green, blue, red = convert((255, 0, 51), dtype, pixel_format)
    np.testing.assert_allclose(
        (red, green, blue), (white, 0, white / 5), atol=white / 200
    )


def test_deep_ramps_keep_their_steps():
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16)
    image = np.ascontiguousarray(np.broadcast_to(ramp[None, :, None], (2, 1024, 3)))
    frame = from_rgb(image, 'yuv444p10le', VideoReformatter())
    luma = np.frombuffer(bytes(frame.planes[0]), np.uint16)[:1024].astype(int)
    np.testing.assert_allclose(luma, 64 + 876 * (ramp / 65535), atol=0.6)
    assert len(np.unique(luma)) == 877


@pytest.mark.parametrize(
    ('pixel_format', 'declared', 'matrix', 'colour_range'),
    [
        ('yuv420p', 1, 1, 1),
        ('yuv420p', 5, 5, 1),
        ('yuvj420p', 1, 1, 2),
        ('gbrp', 1, 0, 2),
    ],
)
def test_tags(pixel_format, declared, matrix, colour_range):
    context = av.CodecContext.create('ffv1', 'w')
    context.pix_fmt = pixel_format
    tag_colours(context, Colours(), declared)
    assert context.colorspace == matrix
    assert context.color_range == colour_range
    assert context.color_primaries == 1
    assert context.color_trc == 1
