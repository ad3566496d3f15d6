"""Damage costs the frames that it costs."""

import numpy as np
import pytest

from fmanet_mm.video.container import declared_size

FRAMES = [index / 25 for index in range(40)]
SECOND = 10
PACKET = 188
VIDEO = 0x100
"""Its identifier, without the flag of a packet that begins a frame."""


@pytest.fixture
def texture():
    """Frames of noise that moves, which take several packets each."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    return [(time, np.roll(noise, index, 1)) for index, time in enumerate(FRAMES)]


@pytest.fixture
def recording(make, track, texture, tone):
    """A transport stream with an I frame every 10 frames."""
    video = track('libx264', texture, {'gop_size': SECOND})
    return make('in.ts', video, track('mp2', tone(0, 1.6)))


def lose(path, fraction):
    """Remove a packet of the video of a transport stream, not the first of a frame."""
    data = path.read_bytes()
    packets = [data[at : at + PACKET] for at in range(0, len(data), PACKET)]
    inner = [
        index
        for index, packet in enumerate(packets)
        if int.from_bytes(packet[1:3], 'big') == VIDEO
    ]
    del packets[inner[int(len(inner) * fraction)]]
    path.write_bytes(b''.join(packets))
    return path


@pytest.mark.parametrize('fraction', [0.35, 0.5, 0.63])
@pytest.mark.parametrize('target', ['mp4', 'mkv'])
def test_lost_packets(restore, recording, look, warned, tmp_path, fraction, target):
    lose(recording, fraction)
    path = tmp_path / f'out.{target}'
    assert restore(recording, path) == 0
    seen = look(path)
    assert len(seen.times) >= 30
    assert seen.times[-1] - seen.times[0] == pytest.approx(39 / 25, abs=0.002)
    assert seen.samples > 1.4
    assert 'jump at' in warned() or 'are left out, at' in warned()


def test_damage_can_end_the_video(restore, recording, look, capsys, tmp_path):
    lose(recording, 0.5)
    assert restore(recording, tmp_path / 'out.mp4', '--stop-at-damage') == 1
    assert 'ends at frame' in capsys.readouterr().err
    assert len(look(tmp_path / 'out.mp4').times) < 30


def test_damage_at_the_end_ends_the_video(
    restore, make, track, texture, look, capsys, tmp_path
):
    source = make('in.mkv', track('libx264', texture))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    assert restore(source, tmp_path / 'out.mp4') == 1
    assert 'ends at frame' in capsys.readouterr().err
    assert 5 < len(look(tmp_path / 'out.mp4').times) < 39


def test_overwritten_data(restore, make, track, texture, look, warned, tmp_path):
    video = track('libx264', texture, {'gop_size': SECOND})
    source = make('in.mp4', video)
    data = bytearray(source.read_bytes())
    middle = data.index(b'mdat') + 4 + (len(data) - data.index(b'mdat')) // 3
    data[middle : middle + 12] = b'\xa5' * 12
    source.write_bytes(data)
    assert restore(source, tmp_path / 'out.mp4') == 0
    seen = look(tmp_path / 'out.mp4')
    assert 20 <= len(seen.times) < 40
    assert seen.times[-1] == pytest.approx(39 / 25, abs=0.002)
    assert 'is damaged' in warned()
    assert '--stop-at-damage' in warned()


KINDS = {
    'mov': ('mjpeg', dict(pix_fmt='yuvj420p'), dict(movflags='faststart')),
    'mp4': ('libx264', {}, dict(movflags='frag_every_frame+empty_moov')),
    'gif': ('gif', dict(pix_fmt='rgb8'), {}),
    'ogg': ('libvpx', {}, {}),
    'avi': ('mpeg4', {}, {}),
    'webm': ('libvpx', {}, {}),
}


@pytest.mark.parametrize('suffix', KINDS)
def test_a_truncated_file_is_never_taken_for_a_short_one(
    restore, make, track, texture, look, capsys, tmp_path, suffix
):
    codec, options, container = KINDS[suffix]
    source = make(f'in.{suffix}', track(codec, texture[:12], options), **container)
    assert declared_size(source) == source.stat().st_size
    data = source.read_bytes()
    for part in (len(data) * 3 // 4, len(data) - 3):
        source.write_bytes(data[:part])
        assert restore(source, tmp_path / 'out.mkv') == 1
        assert f'{source} ends at frame' in capsys.readouterr().err
        assert 0 < len(look(tmp_path / 'out.mkv').times) <= 12
    source.write_bytes(data + b'\0\0\1\0some notes')
    assert restore(source, tmp_path / 'out.mkv') == 0
    assert len(look(tmp_path / 'out.mkv').times) == 12
