"""Sound, subtitles and tags that a video file gets from the source of its frames."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.subtitles.subtitle import SubtitleSet

from fmanet_mm.video.container import open_container
from fmanet_mm.video.options import ReadOptions
from fmanet_mm.video.reader import open_frames
from fmanet_mm.video.writer import open_writer

RATE = 48000
CODECS = {'.webm': 'libvpx', '.avi': 'mjpeg'}
SUBTITLES = [(100, 400), (900, 1300), (1500, 1900)]
TEXTS = [b'line 0', b'line 1', b'line 2']
ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,16

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


def add_sound(container, codec, frequency):
    """Two seconds of a tone; gives its packets once encoding has started."""
    stream = container.add_stream(codec, rate=RATE)
    stream.codec_context.layout = 'mono'

    def encode():
        tone = np.sin(np.arange(2 * RATE) * frequency * 2 * np.pi / RATE) * 9000
        frame = av.AudioFrame.from_ndarray(tone[None].astype(np.int16), 's16', 'mono')
        frame.sample_rate, frame.pts = RATE, 0
        resampler = av.AudioResampler(
            stream.codec_context.format.name,
            'mono',
            RATE,
            stream.codec_context.frame_size or 1024,
        )
        frames = resampler.resample(frame) + resampler.resample(None)
        return [p for frame in [*frames, None] for p in stream.encode(frame)]

    return stream, encode


def add_subtitles(container, codec):
    stream = container.add_stream(codec)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.time_base = Fraction(1, 1000)

    def encode():
        for index, (begin, end) in enumerate(SUBTITLES):
            text = b'%d,0,Default,,0,0,0,,%s' % (index, TEXTS[index])
            packet = stream.codec_context.encode_subtitle(
                SubtitleSet.create(text, 0, end - begin)
            )
            packet.stream = stream
            packet.time_base = Fraction(1, 1000)
            packet.pts = packet.dts = begin
            packet.duration = end - begin
            yield packet

    return stream, encode


def make_source(path, sounds, subtitles=None, chapters=(), fps=25):
    """Two seconds of video with sounds in German and French, and subtitles."""
    with av.open(str(path), 'w') as container:
        video = container.add_stream(CODECS.get(path.suffix, 'libx264'), rate=fps)
        video.height, video.width = 16, 16
        if path.suffix == '.avi':
            video.pix_fmt = 'yuvj420p'
        encoders = []
        for codec, language, frequency in zip(
            sounds, ('deu', 'fra'), (440, 880), strict=False
        ):
            stream, encode = add_sound(container, codec, frequency)
            stream.metadata.update(language=language, title=f'Sound {language}')
            encoders.append(encode)
            if language == 'fra':
                stream.disposition = Disposition.hearing_impaired.value
        if subtitles:
            stream, encode = add_subtitles(container, subtitles)
            stream.metadata.update(language='ita', title='Words')
            stream.disposition = Disposition.forced.value
            encoders.append(encode)
        container.metadata.update(title='A film', comment='about grey')
        container.set_chapters(list(chapters))
        container.start_encoding()
        packets = []
        for index in range(2 * fps):
            frame = av.VideoFrame.from_ndarray(
                np.full((16, 16, 3), 2 * index, np.uint8), 'rgb24'
            )
            packets += video.encode(frame)
        packets += video.encode()
        for encode in encoders:
            packets += encode()
        packets = [packet for packet in packets if packet.size]
        container.mux(sorted(packets, key=lambda p: (p.dts or 0) * p.time_base))
    return path


def copy_to(path, source, **part):
    with open_frames(source, ReadOptions(**part)) as frames:
        with open_writer(path, frames.info) as writer:
            for image, time in frames.timed():
                writer.write(image, time)
    return path


def read_packets(path, kind, index=0):
    """Give the bytes of each packet and its times relative to the first frame."""
    with open_frames(path) as frames:
        zero = frames.info.origin
    with open(path, 'rb') as file, open_container(file) as container:
        stream = container.streams.get(**{kind: index})[0]
        return [
            (
                bytes(packet),
                (packet.dts if packet.pts is None else packet.pts) * packet.time_base
                - zero,
                packet.duration * packet.time_base,
            )
            for packet in container.demux(stream)
            if packet.size and bytes(packet) != bytes(2)
        ]


def contents(packets):
    return [data for data, *_ in packets]


def distance(packets, others):
    """Largest difference of times."""
    return max(abs(a[1] - b[1]) for a, b in zip(packets, others, strict=True))


@pytest.mark.parametrize(
    ('source', 'sounds', 'target'),
    [
        ('in.mp4', ['aac', 'mp3'], 'out.mp4'),
        ('in.mp4', ['aac', 'mp3'], 'out.mov'),
        ('in.mp4', ['aac', 'mp3'], 'out.mkv'),
        ('in.mkv', ['flac', 'libopus'], 'out.mkv'),
        ('in.mkv', ['flac', 'libopus'], 'out.mp4'),
        ('in.mkv', ['alac', 'ac3'], 'out.mp4'),
        ('in.ts', ['mp2', 'mp3'], 'out.mkv'),
        ('in.webm', ['libopus', 'libopus'], 'out.webm'),
        ('in.webm', ['libopus', 'libopus'], 'out.mkv'),
        ('in.avi', ['pcm_s16le', 'mp3'], 'out.avi'),
        ('in.avi', ['pcm_s16le', 'mp3'], 'out.mkv'),
        ('in.mov', ['pcm_s16le', 'aac'], 'out.mov'),
    ],
)
def test_sound_is_copied_bit_by_bit_and_in_sync(tmp_path, source, sounds, target):
    source = make_source(tmp_path / source, sounds)
    target = copy_to(tmp_path / target, source)
    for index in (0, 1):
        before, after = (read_packets(p, 'audio', index) for p in (source, target))
        assert len(before) > 5
        assert contents(after) == contents(before)
        # Matroska has milliseconds.
        assert distance(after, before) <= Fraction(3, 2000)


def test_sound_before_the_video_does_not_shift_frames_of_avi(tmp_path):
    source = make_source(tmp_path / 'in.mp4', ['aac'])
    before = read_packets(source, 'audio')
    assert before[0][1] < 0
    target = copy_to(tmp_path / 'out.avi', source)
    with open_frames(target) as frames:
        times = [frame.time for frame in frames.timed()]
    assert times == [Fraction(index, 25) for index in range(50)]
    after = read_packets(target, 'audio')
    assert contents(after) == contents(before[1:])
    assert distance(after, before[1:]) < Fraction(1, 2000)


def test_sound_of_transport_streams_gets_the_header_of_mp4(tmp_path):
    source = make_source(tmp_path / 'in.ts', ['aac'])
    before = read_packets(source, 'audio')
    after = read_packets(copy_to(tmp_path / 'out.mp4', source), 'audio')
    # The first 7 bytes are of the transport stream.
    assert contents(after) == [data[7:] for data in contents(before)]
    assert distance(after, before) < Fraction(1, 40_000)


def test_between_mp4_files_sound_keeps_its_times_to_the_sample(tmp_path):
    source = make_source(tmp_path / 'in.mp4', ['aac'])
    target = copy_to(tmp_path / 'out.mp4', source)
    assert read_packets(target, 'audio') == read_packets(source, 'audio')


def test_languages_titles_and_dispositions_are_kept(tmp_path):
    source = make_source(tmp_path / 'in.mkv', ['flac', 'libopus'], 'subrip')
    with av.open(str(copy_to(tmp_path / 'out.mkv', source))) as container:
        streams = list(container.streams)
        assert [stream.type for stream in streams] == [
            'video', 'audio', 'audio', 'subtitle',
        ]  # fmt: skip
        assert [s.metadata['language'] for s in streams[1:]] == ['deu', 'fra', 'ita']
        assert [s.metadata['title'] for s in streams[1:]] == [
            'Sound deu', 'Sound fra', 'Words',
        ]  # fmt: skip
        assert streams[2].disposition == Disposition.hearing_impaired
        assert streams[3].disposition & Disposition.forced
        assert container.metadata['title'] == 'A film'
        assert container.metadata['COMMENT'] == 'about grey'


def test_names_of_mp4_are_titles_of_matroska(tmp_path):
    source = make_source(tmp_path / 'in.mp4', ['aac'])
    for name in ('out.mkv', 'out.mp4'):
        target = copy_to(tmp_path / name, source)
        with av.open(str(target)) as container:
            metadata = container.streams.audio[0].metadata
            assert metadata['language'] == 'deu'
            assert metadata.get('title', metadata.get('name')) == 'Sound deu'


@pytest.mark.parametrize(
    ('name', 'sound', 'subtitles'),
    [('mkv', 'flac', 'subrip'), ('mkv', 'flac', 'ass'), ('mp4', 'aac', 'mov_text')],
)
def test_subtitles_are_copied(tmp_path, name, sound, subtitles):
    source = make_source(tmp_path / f'in.{name}', [sound], subtitles)
    target = copy_to(tmp_path / f'out.{name}', source)
    packets = read_packets(target, 'subtitles')
    assert packets == read_packets(source, 'subtitles')
    for packet, text, (begin, end) in zip(packets, TEXTS, SUBTITLES, strict=True):
        assert text in packet[0]
        assert packet[1:] == (Fraction(begin, 1000), Fraction(end - begin, 1000))


def test_pauses_between_subtitles_are_not_doubled(tmp_path):
    source = make_source(tmp_path / 'in.mp4', ['aac'], 'mov_text')
    target = copy_to(tmp_path / 'out.mp4', source)
    packets = []
    for path in (source, target):
        with av.open(str(path)) as container:
            packets.append(
                [(bytes(p), p.pts) for p in container.demux(subtitles=0) if p.size]
            )
    assert packets[1] == packets[0]
    assert len(packets[0]) == 2 * len(TEXTS)


@pytest.mark.parametrize(
    ('source', 'target', 'sound', 'subtitles', 'left_out'),
    [
        ('mkv', 'mp4', 'flac', 'subrip', ['stream 2 (subtitle, subrip, ita)']),
        ('mp4', 'mkv', 'aac', 'mov_text', ['stream 2 (subtitle, mov_text, ita)']),
        ('mkv', 'avi', 'flac', 'ass', ['stream 2 (subtitle, ass, ita)']),
        ('mkv', 'webm', 'flac', 'subrip',
         ['stream 1 (audio, flac, deu)', 'stream 2 (subtitle, subrip, ita)']),
        ('mkv', 'webm', 'aac', None, ['stream 1 (audio, aac, deu)']),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_left_out_and_named(
    tmp_path, caplog, source, target, sound, subtitles, left_out
):
    source = make_source(tmp_path / f'in.{source}', [sound], subtitles)
    target = tmp_path / f'out.{target}'
    copy_to(target, source)
    assert caplog.messages == [
        f'{target} cannot hold all of {source}, so this is left out: '
        + ', '.join(left_out)
    ]
    with av.open(str(target)) as container:
        kept = [stream.type for stream in container.streams]
    assert len(kept) == 2 + bool(subtitles) - len(left_out)


def test_audio_that_does_not_fit_is_converted_and_named(tmp_path, caplog):
    source = make_source(tmp_path / 'in.mkv', ['libopus'])
    target = copy_to(tmp_path / 'out.mov', source)
    assert caplog.messages == [
        f'{target} cannot hold all audio of {source} as it is, so this is converted to '
        'pcm_s24le, without loss: stream 1 (audio, opus, deu)'
    ]
    with av.open(str(target)) as container:
        [audio] = container.streams.audio
        assert audio.codec_context.name == 'pcm_s24le'
        assert abs(audio.duration * audio.time_base - 2) < 0.01


def test_what_fits_is_not_warned_of(tmp_path, caplog):
    copy_to(tmp_path / 'out.mkv', make_source(tmp_path / 'in.mkv', ['flac'], 'ass'))
    assert not caplog.messages


# A part


@pytest.mark.parametrize(
    ('name', 'sound'), [('mp4', 'aac'), ('mkv', 'flac'), ('mov', 'pcm_s16le')]
)
def test_sound_is_cut_to_the_part(tmp_path, name, sound):
    source = make_source(tmp_path / f'in.{name}', [sound])
    start, end = Fraction('0.4'), Fraction('1.2')
    target = copy_to(tmp_path / f'out.{name}', source, start=0.4, end=1.2)
    expected = [
        (data, time - start, duration)
        for data, time, duration in read_packets(source, 'audio')
        if start <= time < end
    ]
    packets = read_packets(target, 'audio')
    assert contents(packets) == contents(expected)
    assert distance(packets, expected) <= Fraction(1, 40_000)
    with open_frames(target) as frames:
        grey = np.array([image.mean() for image in frames])
    np.testing.assert_allclose(grey, np.arange(20, 60, 2), atol=1.5)


def test_time_begins_with_the_first_frame_of_the_part(tmp_path):
    source = make_source(tmp_path / 'in.mkv', ['flac'])
    target = copy_to(tmp_path / 'out.mkv', source, start=0.41)  # the first at 0.44
    before = {data: time for data, time, _ in read_packets(source, 'audio')}
    packets = read_packets(target, 'audio')
    assert packets[0][1] >= 0
    assert {before[data] - time for data, time, _ in packets} == {Fraction(44, 100)}


@pytest.mark.parametrize(
    ('name', 'sound', 'subtitles'),
    [('mkv', 'flac', 'subrip'), ('mp4', 'aac', 'mov_text')],
)
def test_subtitles_at_the_edges_are_shortened(tmp_path, name, sound, subtitles):
    source = make_source(tmp_path / f'in.{name}', [sound], subtitles)
    target = copy_to(tmp_path / f'out.{name}', source, start=0.2, end=1.6)
    times = [packet[1:] for packet in read_packets(target, 'subtitles')]
    assert times == [
        (0, Fraction('0.2')),
        (Fraction('0.7'), Fraction('0.4')),
        (Fraction('1.3'), Fraction('0.1')),
    ]


def test_subtitles_outside_are_left_out(tmp_path):
    source = make_source(tmp_path / 'in.mkv', [], 'subrip')
    target = copy_to(tmp_path / 'out.mkv', source, start=0.6, end=1.48)
    ((data, begin, duration),) = read_packets(target, 'subtitles')
    assert TEXTS[1] in data
    assert (begin, duration) == (Fraction('0.3'), Fraction('0.4'))


CHAPTERS = [
    dict(id=1, start=0, end=900, time_base=Fraction(1, 1000), metadata={'title': 'I'}),
    dict(
        id=2, start=900, end=2000, time_base=Fraction(1, 1000), metadata={'title': 'II'}
    ),
]


@pytest.mark.parametrize('suffix', ['.mkv', '.mp4'])
@pytest.mark.parametrize(
    ('part', 'expected'),
    [
        ({}, [('I', 0, 0.9), ('II', 0.9, 2)]),
        (dict(start=0.4, end=1.2), [('I', 0, 0.5), ('II', 0.5, 0.8)]),
        (dict(start=1), [('II', 0, 1)]),
    ],
)
def test_chapters_are_cut_to_the_part(tmp_path, suffix, part, expected):
    source = make_source(tmp_path / f'in{suffix}', [], chapters=CHAPTERS)
    with av.open(str(copy_to(tmp_path / f'out{suffix}', source, **part))) as container:
        chapters = [
            (
                chapter['metadata']['title'],
                float(chapter['start'] * chapter['time_base']),
                float(chapter['end'] * chapter['time_base']),
            )
            for chapter in container.chapters()
        ]
    assert chapters == expected


def test_fonts_of_subtitles_are_copied(tmp_path):
    source = tmp_path / 'in.mkv'
    with av.open(str(source), 'w') as container:
        video = container.add_stream('libx264', rate=25)
        video.height, video.width, video.pix_fmt = 16, 16, 'yuv420p'
        container.add_attachment('a.ttf', 'font/ttf', b'a font')
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), 'rgb24')
        container.mux(video.encode(frame))
        container.mux(video.encode())
    with av.open(str(copy_to(tmp_path / 'out.mkv', source))) as container:
        (font,) = container.streams.attachments
        assert (font.name, font.mimetype, font.data) == ('a.ttf', 'font/ttf', b'a font')


def test_of_a_truncated_file_what_can_be_read_is_copied(tmp_path):
    source = make_source(tmp_path / 'in.mkv', ['flac'])
    whole = read_packets(source, 'audio')
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    target = tmp_path / 'out.mkv'
    with open_frames(source) as frames, open_writer(target, frames.info) as writer:
        with pytest.raises(ValueError, match='ends at frame'):
            for image, time in frames.timed():
                writer.write(image, time)
    packets = read_packets(target, 'audio')
    assert 3 < len(packets) < len(whole)
    assert contents(packets) == contents(whole)[: len(packets)]
