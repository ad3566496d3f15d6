from fractions import Fraction

import pytest

from fmanet_mm.video.encoding import (
    Encoding,
    check_pixel_format,
    find_codec,
    find_options,
    find_pixel_format,
    find_tick,
)
from fmanet_mm.video.formats import find_format

FILM = Fraction(24000, 1001)


def test_suffixes_give_containers():
    assert find_format('a/clip.MKV') == 'matroska'
    with pytest.raises(ValueError, match=r'clip.doc: a video must end in one of .mp4,'):
        find_format('clip.doc')


@pytest.mark.parametrize(
    ('format', 'name', 'codec'),
    [
        ('mp4', None, 'libx264'),
        ('mov', None, 'libx264'),
        ('matroska', None, 'libx264'),
        ('avi', None, 'libx264'),
        ('webm', None, 'libvpx-vp9'),
        ('mp4', 'hevc', 'libx265'),
        ('mp4', 'libx265', 'libx265'),
        ('webm', 'av1', 'libsvtav1'),
        ('matroska', 'ffv1', 'ffv1'),
        ('mov', 'prores', 'prores'),
    ],
)
def test_codecs(format, name, codec):
    assert find_codec(format, name) == codec


@pytest.mark.parametrize(
    ('format', 'name', 'message'),
    [
        ('mp4', 'h256', "'h256' is unknown; available are .*libx264, .*libx265"),
        ('mp4', 'aac', "'aac' is unknown"),
        ('webm', 'libx264', 'does not go into webm .* libsvtav1, libvpx, libvpx-vp9'),
        ('mp4', 'prores', 'does not go into mp4 files'),
    ],
)
def test_codecs_that_are_unknown_or_do_not_fit(format, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        find_codec(format, name)
    assert 'nvenc' not in str(caught.value)
    assert 'qsv' not in str(caught.value)


@pytest.mark.parametrize(
    ('codec', 'crf', 'options'),
    [
        ('libx264', None, {'crf': '15'}),
        ('libx264', 0, {'crf': '0'}),
        ('libx265', 51, {'crf': '51'}),
        ('libx264', 17.5, {'crf': '17.5'}),
        ('libvpx-vp9', 63, {'crf': '63'}),
        ('ffv1', None, {}),
    ],
)
def test_quality(codec, crf, options):
    assert find_options(codec, crf) == options


@pytest.mark.parametrize(
    ('codec', 'crf', 'message'),
    [
        ('libx264', 52, 'crf of libx264 must be within 0 and 51, got 52'),
        ('libx264', -1, 'within 0 and 51, got -1'),
        ('libvpx-vp9', 64, 'within 0 and 63, got 64'),
        ('ffv1', 15, 'ffv1 has no constant rate factor, got crf = 15'),
    ],
)
def test_quality_out_of_range(codec, crf, message):
    with pytest.raises(ValueError, match=message):
        find_options(codec, crf)


@pytest.mark.parametrize(
    ('codec', 'size', 'is_deep', 'expected'),
    [
        ('libx264', (48, 64), False, 'yuv420p'),
        ('libx264', (47, 64), False, 'yuv444p'),
        ('libx264', (48, 63), False, 'yuv444p'),
        ('libx264', (48, 64), True, 'yuv420p10le'),
        ('libx264', (47, 63), True, 'yuv444p10le'),
        ('libvpx-vp9', (48, 64), True, 'yuv420p'),
        ('libsvtav1', (47, 63), True, 'yuv420p10le'),
        ('mpeg4', (47, 63), False, 'yuv420p'),
        ('mjpeg', (48, 64), False, 'yuvj420p'),
        ('prores_ks', (48, 64), False, 'yuv422p10le'),
        ('libx264rgb', (48, 64), False, 'bgr0'),
    ],
)
def test_pixel_formats(codec, size, is_deep, expected):
    assert find_pixel_format(codec, *size, is_deep) == expected


def test_unknown_pixel_formats_are_named_with_those_there_are():
    check_pixel_format('libx264', 'yuv422p')
    message = "libvpx-vp9 has no pixel format 'yuv420p10'; available are yuv420p, yuva"
    with pytest.raises(ValueError, match=message):
        check_pixel_format('libvpx-vp9', 'yuv420p10')


@pytest.mark.parametrize(
    ('format', 'codec', 'fps', 'source', 'expected'),
    [
        ('mp4', 'libx264', Fraction(25), Fraction(1, 12800), Fraction(1, 12800)),
        ('matroska', 'libx264', FILM, Fraction(1, 1000), Fraction(1, 1000)),
        ('mp4', 'libx264', Fraction(25), None, Fraction(1, 90000)),
        ('mp4', 'libx264', FILM, None, Fraction(1, 96000)),
        ('mp4', 'libx264', Fraction(144), None, Fraction(1, 90000)),
        ('avi', 'libx264', FILM, Fraction(1, 12800), 1 / FILM),
        ('mp4', 'mpeg4', Fraction(25), Fraction(1, 90000), Fraction(1, 25)),
    ],
)
def test_units_of_time(format, codec, fps, source, expected):
    assert find_tick(format, codec, fps, source) == expected


def make_encoding(**changes):
    settings = dict(
        format='mp4',
        codec='libx264',
        options={'crf': '15'},
        pixel_format='yuv420p',
        height=48,
        width=64,
        fps=Fraction(25),
        tick=Fraction(1, 12800),
        sample_aspect_ratio=Fraction(1),
    )
    return Encoding(**settings | changes)


def test_encodings_are_tried():
    make_encoding().check_container()
    make_encoding(codec='libvpx-vp9', pixel_format='yuv444p').check_container()
    with pytest.raises(ValueError, match=r'\(H, W\) = \(47, 64\) in yuv420p at 25 fps'):
        make_encoding(height=47).check_container()
    with pytest.raises(ValueError, match='mov files cannot hold video of libsvtav1'):
        make_encoding(format='mov', codec='libsvtav1').check_container()


@pytest.mark.parametrize(
    ('format', 'codec', 'ratio', 'expected'),
    [
        ('matroska', 'libx264', Fraction(4, 3), True),
        ('avi', 'mpeg4', Fraction(4, 3), True),
        ('mp4', 'libvpx-vp9', Fraction(4, 3), True),
        ('webm', 'libvpx-vp9', Fraction(4, 3), False),
        ('webm', 'libvpx-vp9', Fraction(1), True),
    ],
)
def test_which_keep_the_shape_of_pixels(format, codec, ratio, expected):
    encoding = make_encoding(format=format, codec=codec, sample_aspect_ratio=ratio)
    assert encoding.keeps_aspect == expected


@pytest.mark.parametrize(
    ('format', 'codec', 'height', 'expected'),
    [
        ('mp4', 'libx264', 48, 1),
        ('avi', 'libx264', 48, 1),
        ('matroska', 'ffv1', 48, 1),
        ('avi', 'ffv1', 576, 5),
        ('avi', 'ffv1', 578, 1),
        ('matroska', 'mjpeg', 1080, 5),
    ],
)
def test_matrices(format, codec, height, expected):
    assert make_encoding(format=format, codec=codec, height=height).matrix == expected
