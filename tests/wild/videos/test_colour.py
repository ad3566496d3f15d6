"""Colours of cameras, broadcasts and screens."""

import struct

import numpy as np
import pytest

HDR = {
    'PQ': (9, 16, 9),
    'HLG': (9, 18, 9),
}
SDR = {
    'BT.709': (1, 1, 1),
    'Display P3 with sRGB': (12, 13, 1),
    'BT.2020': (9, 14, 9),
    'PAL': (5, 5, 5),
    'NTSC': (6, 6, 6),
}
PATCHES = (192, 32, 32), (32, 96, 192)


def draw(dtype=np.uint8):
    image = np.zeros((32, 64, 3), np.float64)
    image[:, :32], image[:, 32:] = PATCHES
    return np.round(image / 255 * np.iinfo(dtype).max).astype(dtype)


def flat(image):
    height, width = image.shape[:2]
    left = image[height // 4 : -height // 4, width // 8 : 3 * width // 8]
    right = image[height // 4 : -height // 4, -3 * width // 8 : -width // 8]
    return [part.reshape(-1, 3).mean(0) for part in (left, right)]


def tagged(track, codec, pixel_format, colours, dtype=np.uint8, **encoder):
    frames = [(index / 25, draw(dtype)) for index in range(3)]
    primaries, transfer, matrix = colours
    options = dict(
        pix_fmt=pixel_format,
        color_primaries=primaries,
        color_trc=transfer,
        colorspace=matrix,
        encoder={'crf': '4', 'x265-params': 'log-level=error:ctu=16', **encoder},
    )
    return track(codec, frames, options)


@pytest.mark.parametrize('name', SDR)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv'])
def test_primaries_transfer_and_matrix_are_kept(
    restore, make, track, look, tmp_path, name, suffix
):
    source = make(f'in.{suffix}', tagged(track, 'libx264', 'yuv420p', SDR[name]))
    target = tmp_path / f'out.{suffix}'
    assert restore(source, target) == 0
    before, after = look(source), look(target)
    assert after.colours == before.colours == SDR[name]
    np.testing.assert_allclose(flat(after.images[0]), flat(before.images[0]), atol=2)
    np.testing.assert_allclose(flat(after.images[0]), PATCHES, atol=3)


def test_full_range_is_read_as_such(restore, make, track, look, tmp_path):
    source = make('in.mkv', tagged(track, 'libx264', 'yuvj420p', SDR['BT.709']))
    assert restore(source, tmp_path / 'out.mp4') == 0
    after = look(tmp_path / 'out.mp4')
    np.testing.assert_allclose(flat(after.images[0]), PATCHES, atol=3)


@pytest.mark.parametrize('name', HDR)
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi', 'webm'])
def test_hdr_stays_hdr(restore, make, track, look, tmp_path, name, suffix):
    display = 'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)'
    params = f'log-level=error:ctu=16:hdr10=1:master-display={display}:max-cll=1000,400'
    video = tagged(
        track, 'libx265', 'yuv420p10le', HDR[name], np.uint16,
        **{'x265-params': params},
    )  # fmt: skip
    source = make('in.mkv', video)
    target = tmp_path / f'out.{suffix}'
    assert restore(source, target) == 0
    before, after = look(source), look(target)
    assert after.colours == HDR[name]
    assert after.pixel_format == 'yuv420p10le'
    np.testing.assert_allclose(flat(after.images[0]), flat(before.images[0]), atol=2)
    light = after.side_data['CONTENT_LIGHT_LEVEL']
    assert struct.unpack('2I', light[:8]) == (1000, 400)
    ratios = struct.unpack('20i', after.side_data['MASTERING_DISPLAY_METADATA'][:80])
    values = [a / b for a, b in zip(ratios[::2], ratios[1::2], strict=True)]
    expected = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000]
    np.testing.assert_allclose(values, expected, rtol=0.01, atol=1e-4)


def test_encoders_print_nothing(restore, make, track, moving, capfd, tmp_path):
    source = make('in.mkv', track('libx264', moving([0, 0.04])))
    for codec in ('libsvtav1', 'libx265'):
        assert restore(source, tmp_path / 'out.mkv', '--codec', codec) == 0
    captured = capfd.readouterr()
    assert not [line for line in captured.err.splitlines() if 'Svt[' in line]
    assert 'x265 [' not in captured.err


def test_hdr_is_refused_for_codecs_without_it(restore, make, track, capsys, tmp_path):
    source = make(
        'in.mkv', tagged(track, 'libx265', 'yuv420p10le', HDR['PQ'], np.uint16)
    )
    for options in (['--codec', 'mpeg4'], ['--pix-fmt', 'yuv420p']):
        assert restore(source, tmp_path / 'out.mp4', *options) == 1
        assert 'is HDR (PQ)' in capsys.readouterr().err
    assert not (tmp_path / 'out.mp4').exists()


def test_ten_bits_stay_ten_bits(restore, make, track, look, tmp_path):
    source = make(
        'in.mkv', tagged(track, 'libx265', 'yuv420p10le', SDR['BT.2020'], np.uint16)
    )
    assert restore(source, tmp_path / 'out.mp4') == 0
    after = look(tmp_path / 'out.mp4')
    assert after.pixel_format == 'yuv420p10le'
    assert after.colours == SDR['BT.2020']
