"""Times of frames and audio, as recordings and editors leave them."""

import json
from fractions import Fraction

import av
import numpy as np
import pytest

FRAMES = [index / 10 for index in range(6)]
RATE = 16000


@pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv', 'avi'])
def test_audio_before_the_first_picture_is_kept(
    restore, make, track, moving, tone, look, tmp_path, suffix
):
    late = [1 + time for time in FRAMES]
    source = make('in.mkv', track('libx264', moving(late)), track('flac', tone(0, 1.8)))
    target = tmp_path / f'out.{suffix}'
    assert restore(source, target) == 0
    seen = look(target)
    assert len(seen.times) == 6
    assert seen.samples == pytest.approx(1.8, abs=0.002)
    assert seen.times[0] - seen.onset == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
@pytest.mark.parametrize('codec', ['pcm_s16le', 'aac'])
def test_audio_that_begins_late_stays_late(
    restore, make, track, moving, tone, look, tmp_path, suffix, codec
):
    source = make(
        'in.mkv', track('libx264', moving(FRAMES)), track(codec, tone(0.3, 0.3))
    )
    before = look(source)
    target = tmp_path / f'out.{suffix}'
    assert restore(source, target) == 0
    after = look(target)
    assert after.onset - after.times[0] == pytest.approx(
        before.onset - before.times[0], abs=0.002
    )


@pytest.mark.parametrize('suffix', ['mp4', 'mov', 'mkv', 'avi'])
def test_the_last_picture_is_held(
    restore, make, track, moving, tone, look, tmp_path, suffix
):
    source = make(
        'in.mp4',
        track('libx264', moving(FRAMES)),
        track('aac', tone(0, 1)),
        last_duration=2.5,
    )
    target = tmp_path / f'out.{suffix}'
    assert restore(source, target) == 0
    seen = look(target)
    steps = [time - seen.times[0] for time in seen.times]
    assert steps == pytest.approx(FRAMES, abs=0.002)
    if suffix in ('mp4', 'mov'):
        assert seen.end - seen.times[0] == pytest.approx(3, abs=0.002)


def test_chapters_move_with_the_picture(
    restore, make, track, moving, tone, warned, tmp_path
):
    unit = Fraction(1, 1000)
    chapters = [
        dict(id=index, start=start, end=end, time_base=unit, metadata={'title': 'A'})
        for index, (start, end) in enumerate([(0, 1200), (1200, 1500)])
    ]
    late = [1 + time for time in FRAMES]
    source = make(
        'in.mkv',
        track('libx264', moving(late)),
        track('flac', tone(0, 1.8)),
        chapters=chapters,
    )
    assert restore(source, tmp_path / 'out.mp4') == 0
    with av.open(str(tmp_path / 'out.mp4')) as container:
        _, moved = container.chapters()
    assert float(moved['start'] * moved['time_base']) == pytest.approx(1.2, abs=0.002)
    assert restore(source, tmp_path / 'out.avi') == 0
    assert 'left out: 2 chapters' in warned()


@pytest.mark.parametrize('name', ['join.ts', 'join_cc.ts'])
@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
def test_recordings_joined_byte_by_byte(
    restore, files, look, warned, tmp_path, name, suffix
):
    target = tmp_path / f'out.{suffix}'
    assert restore(files / name, target) == 0
    seen = look(target)
    steps = [b - a for a, b in zip(seen.times, seen.times[1:], strict=False)]
    assert steps == pytest.approx([0.04] * 19, abs=0.002)
    assert seen.onset - seen.times[0] == pytest.approx(0, abs=0.005)
    assert 0.8 < seen.samples < 0.9
    assert 'restarts at' in warned()


@pytest.mark.parametrize('suffix', ['mp4', 'mkv', 'avi'])
def test_edit_lists_are_respected(restore, files, look, capsys, tmp_path, suffix):
    before = look(files / 'edited.m4v')
    target = tmp_path / f'out.{suffix}'
    assert restore(files / 'edited.m4v', target, '--json') == 0
    first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    after = look(target)
    assert first['total'] == len(after.times) == len(before.times) == 22
    assert after.samples == pytest.approx(before.samples, abs=0.05)
    # AVI begins with a complete packet.
    lost = 0.025 if suffix == 'avi' else 0.002
    assert after.samples > before.samples - lost
    assert after.onset - after.times[0] == pytest.approx(0, abs=0.05)


def test_totals_are_right_or_unknown(
    restore, make, track, moving, tone, files, capsys, tmp_path
):
    times = [index / 25 for index in range(6)]
    longer = make(
        'audio.mkv', track('libx264', moving(times)), track('flac', tone(0, 3))
    )
    for source, count in ((longer, 6), (files / 'dvd.mpg', 10)):
        assert restore(source, tmp_path / f'{source.stem}.mp4', '--json') == 0
        events = map(json.loads, capsys.readouterr().out.splitlines())
        progress = [event for event in events if event['event'] == 'progress']
        assert {event['total'] for event in progress} <= {None, count}
        assert progress[-1]['total'] == progress[-1]['frames'] == count
        assert all((event['seconds_left'] or 0) >= 0 for event in progress)


@pytest.mark.parametrize('codec', ['aac', 'ac3', 'mp2'])
@pytest.mark.parametrize('target', ['avi', 'mkv'])
def test_a_part_begins_in_step(
    restore, make, track, moving, tone, look, tmp_path, codec, target
):
    [(_, loud)] = tone(0, 0.4)
    sound = np.concatenate((np.zeros(RATE // 2, np.int16), loud))
    options = dict(rate=44100, layout='stereo')
    video = track('libx264', moving([index / 25 for index in range(24)]))
    source = make('in.mkv', video, track(codec, [(0, sound)], options))
    assert restore(source, tmp_path / f'out.{target}', '--start', '0.2') == 0
    before, after = look(source), look(tmp_path / f'out.{target}')
    expected = before.onset - before.times[0] - 0.2
    assert after.onset - after.times[0] == pytest.approx(expected, abs=0.003)
