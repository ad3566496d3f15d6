"""Only one local file is read, and only if its content is video."""

import socket
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from fmanet_mm.video.container import exact, open_container
from fmanet_mm.video.reader import open_frames

HLS = '#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{}\n#EXT-X-ENDLIST\n'
DASH = (
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation>'
    '</AdaptationSet></Period></MPD>'
)
SCRIPTS = {
    'hls': HLS,
    'concat': "ffconcat version 1.0\nfile '{}'\n",
    'dash': DASH,
    'url': '{}\n',
    'asx': '<asx version="3.0"><entry><ref href="{}"/></entry></asx>\n',
    'quicktime': 'RTSPtext{}\n',
    'subtitles': '{{1}}{{2}}{}\n',
}


@pytest.mark.parametrize('suffix', ['mp4', 'm3u8', 'mov', 'txt'])
@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_that_name_other_files_are_refused(
    tmp_path, make_video, script, suffix, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    clip = make_video(tmp_path / 'clip.mp4')
    path = tmp_path / f'script.{suffix}'
    for reference in (clip.name, clip, f'file:{clip}'):
        path.write_text(SCRIPTS[script].format(reference))
        with pytest.raises(ValueError, match='is not a video .* or a playlist'):
            open_frames(path)


@pytest.mark.parametrize('script', SCRIPTS)
def test_scripts_that_name_addresses_connect_to_nothing(tmp_path, script):
    path = tmp_path / 'script.m3u8'
    with socket.create_server(('127.0.0.1', 0)) as server:
        port = server.getsockname()[1]
        path.write_text(SCRIPTS[script].format(f'http://127.0.0.1:{port}/clip.mp4'))
        with pytest.raises(ValueError, match='is not a video'):
            open_frames(path)
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            server.accept()


def test_sdp_is_refused(tmp_path):
    path = tmp_path / 'clip.mp4'
    path.write_text(
        'v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n'
        'm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n'
    )
    with pytest.raises(ValueError, match='is not a video'):
        open_frames(path)


@pytest.mark.parametrize('suffix', ['png', 'jpg', 'webp'])
def test_images_are_not_taken_for_video(tmp_path, make_folder, suffix):
    image = np.zeros((8, 8, 3), np.uint8)
    folder = make_folder(tmp_path / 'a', {f'0.{suffix}': image})
    with pytest.raises(ValueError, match='is not a video .* name their folder'):
        open_frames(folder / f'0.{suffix}')


@pytest.mark.parametrize('name', ['%03d.mp4', 'clip.m3u8', 'http:clip', 'a b.txt'])
def test_names_mean_nothing(tmp_path, make_video, name):
    path = make_video(tmp_path / 'clip.mkv').rename(tmp_path / name)
    with open_frames(path) as frames:
        assert len(list(frames)) == 5


@pytest.mark.parametrize(
    ('suffix', 'codec'),
    [
        ('mp4', 'libx264'),
        ('mov', 'libx264'),
        ('mkv', 'libx264'),
        ('webm', 'libvpx-vp9'),
        ('avi', 'mpeg4'),
        ('ts', 'libx264'),
        ('mpg', 'mpeg2video'),
        ('flv', 'libx264'),
        ('nut', 'libx264'),
        ('mxf', 'mpeg2video'),
        ('ogg', 'libvpx'),
        ('wmv', 'wmv2'),
        ('h264', 'libx264'),
        ('m4v', 'mpeg4'),
        ('ivf', 'libvpx-vp9'),
    ],
)
def test_formats_of_video(tmp_path, make_video, suffix, codec):
    path = make_video(tmp_path / f'clip.{suffix}', codec=codec)
    path = path.rename(tmp_path / 'clip')
    with open_frames(path) as frames:
        given = [round(float(frame.mean())) for frame in frames]
    assert len(given) == 5
    assert all(abs(a - b) <= 3 for a, b in zip(given, range(20, 70, 10), strict=True))


@pytest.mark.parametrize(
    ('version', 'expected'),
    [
        ('17.1.0', {'options', 'metadata_errors'}),
        ('18.1.0', {'options', 'metadata_errors'}),
        ('19.0.0rc1', {'options'}),
        ('20.0', {'options'}),
    ],
)
def test_files_are_opened_as_each_version_of_pyav_allows(
    tmp_path, make_video, monkeypatch, version, expected
):
    path = make_video(tmp_path / 'clip.mkv')
    given = {}
    original = av.open

    def open_recorded(file, **arguments):
        given.update(arguments)
        return original(file)

    monkeypatch.setattr(av, '__version__', version)
    monkeypatch.setattr(av, 'open', open_recorded)
    with open(path, 'rb') as file:
        open_container(file).close()
    assert set(given) == expected


def test_tags_that_are_not_utf_8_do_not_matter(tmp_path):
    path = tmp_path / 'clip.mkv'
    with av.open(str(path), 'w') as container:
        container.metadata['title'] = 'abcdefgh'
        stream = container.add_stream('mpeg4', rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, 'yuv420p'
        container.mux(stream.encode(av.VideoFrame(16, 16, 'yuv420p')))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes().replace(b'abcdefgh', b'\xff\xfe\xe9bcdef'))
    with open_frames(path) as frames:
        assert len(list(frames)) == 1


def test_rates_of_other_classes_become_fractions():
    rate = SimpleNamespace(numerator=30000, denominator=1001)
    assert exact(rate) == Fraction(30000, 1001)
