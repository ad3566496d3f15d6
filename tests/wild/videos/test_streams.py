"""Streams that people's files hold besides the picture."""

import av
import numpy as np
import pytest

FRAMES = [index / 25 for index in range(5)]
SOUNDS = {
    'adpcm_ima_wav': 'avi',
    'adpcm_ms': 'avi',
    'pcm_mulaw': 'mov',
    'wmav2': 'wmv',
    'tta': 'mkv',
    'pcm_f32le': 'mov',
    'pcm_bluray': 'ts',
    'mp2': 'ts',
    'wavpack': 'mkv',
    'pcm_u8': 'avi',
}
VIDEO = {'wmv': 'wmv2', 'avi': 'mpeg4'}


@pytest.mark.parametrize('target', ['mp4', 'mov', 'mkv', 'avi'])
@pytest.mark.parametrize('codec', SOUNDS)
def test_audio_is_copied_or_converted(
    restore, make, track, moving, tone, look, tmp_path, codec, target
):
    suffix = SOUNDS[codec]
    is_bluray = codec == 'pcm_bluray'
    options = {'wmav2': {'bit_rate': 64_000}}.get(codec, {})
    if is_bluray:
        options = {'layout': 'stereo', 'rate': 48000}
    source = make(
        f'in.{suffix}',
        track(VIDEO.get(suffix, 'libx264'), moving(FRAMES)),
        track(codec, tone(0, 0.4), options),
        **({'mpegts_m2ts_mode': '1'} if is_bluray else {}),
    )
    path = tmp_path / f'out.{target}'
    assert restore(source, path) == 0
    before, after = look(source), look(path)
    if target != 'avi':  # It is padded with silence, which the decoder of WMA needs.
        assert after.samples == pytest.approx(before.samples, abs=0.03)
    assert after.onset - after.times[0] == pytest.approx(
        before.onset - before.times[0], abs=0.005
    )


def test_amr_of_old_phones(restore, files, look, warned, tmp_path):
    assert restore(files / 'amr.3gp', tmp_path / 'out.mp4') == 0
    after = look(tmp_path / 'out.mp4')
    assert after.streams == ['video h264', 'audio flac']
    assert after.samples == pytest.approx(0.6, abs=0.001)
    assert 'converted to flac' in warned()


def test_webm_names_what_it_cannot_hold(
    restore, make, track, moving, tone, look, warned, tmp_path
):
    source = make(
        'in.mkv', track('libx264', moving(FRAMES)), track('flac', tone(0, 0.2))
    )
    assert restore(source, tmp_path / 'out.webm') == 0
    assert look(tmp_path / 'out.webm').streams == ['video vp9']
    assert 'stream 1 (audio, flac' in warned()


@pytest.mark.parametrize('target', ['mp4', 'mkv'])
def test_a_second_video_is_copied(
    restore, make, track, moving, read_packets, look, tmp_path, target
):
    second = track('libx264', moving(FRAMES, size=(16, 16)))
    source = make('in.mp4', track('libx264', moving(FRAMES)), second)
    path = tmp_path / f'out.{target}'
    assert restore(source, path) == 0
    assert look(path).streams == ['video h264', 'video h264']
    kept = read_packets(path)['video']
    assert len(set(read_packets(source)['video']) & set(kept)) >= 4


def add_cover(path):
    image = np.full((16, 16, 3), 200, np.uint8)
    target = path.with_name(f'cover_{path.name}')
    with av.open(str(path)) as source, av.open(str(target), 'w') as container:
        streams = {
            s.index: container.add_stream_from_template(s, opaque=True)
            for s in source.streams
        }
        cover = container.add_stream('mjpeg')
        cover.width = cover.height = 16
        cover.pix_fmt = 'yuvj420p'
        cover.disposition = av.stream.Disposition.attached_pic.value
        container.start_encoding()
        for packet in cover.encode(av.VideoFrame.from_ndarray(image, 'rgb24')):
            container.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                container.mux(packet)
    return target


@pytest.mark.parametrize('target', ['mp4', 'mkv', 'avi'])
def test_cover_art(restore, make, track, moving, warned, tmp_path, target):
    source = add_cover(make('in.mp4', track('libx264', moving(FRAMES))))
    path = tmp_path / f'out.{target}'
    assert restore(source, path) == 0
    with av.open(str(path)) as container:
        covers = [
            stream
            for stream in container.streams.video
            if av.stream.Disposition.attached_pic in stream.disposition
        ]
        assert container.streams.best('video').width == 128
    if target == 'mkv' and not hasattr(av.container.OutputContainer, 'add_attachment'):
        target = 'avi'
    assert len(covers) == (target != 'avi')
    assert ('cover picture' in warned()) == (target == 'avi')


@pytest.mark.parametrize('target', ['mov', 'mp4', 'mkv'])
def test_quicktime_tags_and_timecode(
    restore, make, track, moving, look, tmp_path, target
):
    tags = {
        'com.apple.quicktime.make': 'Camera',
        'com.apple.quicktime.location.ISO6709': '+48.1+011.5/',
        'title': 'A film',
        'timecode': '10:00:00:00',
    }
    source = make(
        'in.mov',
        track('libx264', moving(FRAMES)),
        tags=tags,
        movflags='use_metadata_tags',
    )
    path = tmp_path / f'out.{target}'
    assert restore(source, path) == 0
    seen = look(path)
    expected = {name.lower(): text for name, text in tags.items()}
    assert expected.items() <= seen.metadata.items()
    if target != 'mkv':
        assert 'data None' in seen.streams  # the track of the timecode


def test_tags_that_avi_cannot_hold_are_named(
    restore, make, track, moving, look, warned, tmp_path
):
    tags = {'title': 'A film', 'lens': '35 mm'}
    source = make('in.mkv', track('libx264', moving(FRAMES)), tags=tags)
    assert restore(source, tmp_path / 'out.avi') == 0
    assert look(tmp_path / 'out.avi').metadata['title'] == 'A film'
    assert 'left out: tag lens' in warned()


def test_interlaced_video_is_deinterlaced(restore, files, look, warned, tmp_path):
    assert restore(files / 'dvd.mpg', tmp_path / 'auto.mp4') == 0
    assert warned().count('is interlaced') == 1
    assert restore(files / 'dvd.mpg', tmp_path / 'off.mp4', '--deinterlace', 'off') == 0
    combs = {}
    for name in ('auto', 'off'):
        seen = look(tmp_path / f'{name}.mp4')
        steps = [time - seen.times[0] for time in seen.times]
        assert steps == pytest.approx([index / 25 for index in range(10)], abs=1e-3)
        rows = np.stack(seen.images)[:, 2::4].astype(int)  # one of each input row
        combs[name] = abs(2 * rows[:, 1:-1] - rows[:, :-2] - rows[:, 2:]).mean()
    assert combs['auto'] < combs['off'] / 5
