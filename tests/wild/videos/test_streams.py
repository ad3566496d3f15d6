"""Streams that people's files hold besides the picture."""

import io

import av
import numpy as np
import pytest
from PIL import Image

FRAMES = [index / 25 for index in range(5)]
RATE = 16000
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


@pytest.fixture
def with_tags(make, track, moving, tone, tmp_path):
    """A clip in a container whose streams have tags; Matroska has a file as well."""

    def write(name, audio):
        source = make('in.mkv', track('libvpx', moving(FRAMES)), track(*audio))
        with av.open(str(source)) as given, av.open(str(tmp_path / name), 'w') as taken:
            streams = [taken.add_stream_from_template(s) for s in given.streams]
            streams[0].metadata.update(title='Film', artist='Ada')
            streams[1].metadata.update(comment='by the director', language='deu')
            if name.endswith('.mkv'):
                taken.add_attachment('a.ttf', 'font/ttf', bytes(100))
            for packet in given.demux():
                if packet.size:
                    packet.stream = streams[packet.stream_index]
                    taken.mux(packet)
        return tmp_path / name

    return write


def test_tags_of_streams_are_kept(restore, with_tags, tone, warned, tmp_path):
    source = with_tags('tagged.mkv', ('flac', tone(0, 0.2)))
    assert restore(source, tmp_path / 'out.mkv') == 0
    assert not warned()
    with av.open(str(tmp_path / 'out.mkv')) as container:
        film, sound, _ = (
            {name.lower(): text for name, text in stream.metadata.items()}
            for stream in container.streams
        )
    assert (film['title'], film['artist']) == ('Film', 'Ada')
    assert (sound['comment'], sound['language']) == ('by the director', 'deu')


def test_tags_and_files_that_do_not_fit_are_named(
    restore, with_tags, tone, warned, tmp_path
):
    source = with_tags('tagged.mkv', ('flac', tone(0, 0.2)))
    assert restore(source, tmp_path / 'out.mp4') == 0
    for lost in ('attachment', 'tag ARTIST of stream 0', 'tag COMMENT of stream 1'):
        assert lost in warned()


def test_webm_holds_no_attached_files(restore, with_tags, tone, warned, tmp_path):
    source = with_tags('tagged.mkv', ('libopus', tone(0, 0.2)))
    assert restore(source, tmp_path / 'out.webm') == 0
    assert 'this is left out: stream 2 (attachment' in warned()


@pytest.mark.parametrize('suffix', ['mkv', 'mp4', 'avi'])
def test_tags_of_ogg_are_those_of_the_file(
    restore, with_tags, tone, look, tmp_path, suffix
):
    source = with_tags('tagged.ogg', ('libopus', tone(0, 0.2)))
    assert restore(source, tmp_path / f'out.{suffix}') == 0
    tags = look(tmp_path / f'out.{suffix}').metadata
    expected = dict(title='Film', artist='Ada', comment='by the director')
    assert tags | expected == tags


@pytest.mark.parametrize('codec', ['libvpx', 'libvpx-vp9'])
def test_alpha_that_is_apart_is_named(
    restore, make, track, moving, warned, tmp_path, codec
):
    options = dict(pix_fmt='yuva420p', encoder={'auto-alt-ref': '0'})
    source = make('in.webm', track(codec, moving(FRAMES), options))
    assert restore(source, tmp_path / 'out.webm') == 0
    assert 'alpha channel, which is dropped' in warned()
    with av.open(str(tmp_path / 'out.webm')) as container:
        assert 'alpha_mode' not in container.streams.video[0].metadata


@pytest.mark.parametrize('suffix', ['mjpeg', 'avi'])
def test_motion_jpeg_of_cameras(restore, look, tmp_path, suffix):
    """Its frames have EXIF data, of which PyAV knows nothing."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = np.full((16, 24, 3), (40, 90, 200), np.uint8)
    image[:, :8] = 250
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', exif=exif, quality=95)
    path = tmp_path / 'in.mjpeg'
    path.write_bytes(3 * buffer.getvalue())
    if suffix == 'avi':
        path = tmp_path / 'in.avi'
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('mjpeg', rate=25)
            stream.height, stream.width, stream.pix_fmt = 16, 24, 'yuvj420p'
            for number in range(3):
                packet = av.Packet(buffer.getvalue())
                packet.stream, packet.pts, packet.dts = stream, number, number
                container.mux(packet)
    assert restore(path, tmp_path / 'out.mkv') == 0
    seen = look(tmp_path / 'out.mkv')
    assert len(seen.times) == 3
    for upright in seen.images:
        assert upright.shape == (96, 64, 3)
        assert np.abs(upright[60:].mean((0, 1)) - (40, 90, 200)).max() < 4
        assert np.abs(upright[:20].mean((0, 1)) - 250).max() < 4


@pytest.mark.parametrize(
    ('codec', 'source', 'target'),
    [('flac', 'mkv', 'avi'), ('adpcm_swf', 'flv', 'avi'), ('ac3', 'mkv', 'avi')],
)
def test_audio_stays_in_step(
    restore, make, track, moving, tone, look, tmp_path, codec, source, target
):
    [(_, loud)] = tone(0, 0.3)
    sound = [(0, np.concatenate((np.zeros(RATE // 2, np.int16), loud)))]
    options = dict(rate=44100, layout='stereo')
    video = track('flv' if source == 'flv' else 'libx264', moving(FRAMES))
    path = make(f'in.{source}', video, track(codec, sound, options))
    assert restore(path, tmp_path / f'out.{target}') == 0
    before, after = look(path), look(tmp_path / f'out.{target}')
    assert after.onset - after.times[0] == pytest.approx(
        before.onset - before.times[0], abs=0.01
    )


@pytest.mark.parametrize('target', ['mkv', 'mp4', 'mov', 'avi'])
@pytest.mark.parametrize('name', ['truehd.mkv', 'dts.mkv'])
def test_audio_of_discs_stays_in_step(restore, files, look, tmp_path, name, target):
    """TrueHD has 1200 packets a second, more than Matroska has times."""
    assert restore(files / name, tmp_path / f'out.{target}') == 0
    before, after = look(files / name), look(tmp_path / f'out.{target}')
    assert before.onset - before.times[0] == pytest.approx(0.3, abs=0.015)
    assert after.onset - after.times[0] == pytest.approx(0.3, abs=0.015)
