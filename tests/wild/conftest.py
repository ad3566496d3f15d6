"""Wild inputs: made with PyAV where it can, restored by the command, and decoded."""

import os
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
import torch
from helpers import moving_images, tiny_config, tiny_network

from fmanet_mm.cli.restore_video import main
from fmanet_mm.video.writer import open_writer

FILES = Path(__file__).parent / 'files'
BICUBIC = Path(__file__).parents[2] / 'configs' / 'baselines' / 'bicubic.py'
RATE = 16000


class Seen(NamedTuple):
    """What a player sees of a video file.

    Attributes:
        times (list[float]): Timestamps of the frames of the first video stream.
        images (list[np.ndarray]): The frames as RGB.
        onset (float | None): When the first audio stream becomes loud.
        samples (float): Seconds of audio that can be decoded.
        end (float): When the video ends.
        streams (list[str]): Type and codec of each stream.
        side_data (dict[str, bytes]): Of the first frame.
        metadata (dict[str, str]): Tags, lower-case.
        colours (tuple[int, int, int]): Primaries, transfer and matrix.
        pixel_format (str): FFmpeg's name.
    """

    times: list
    images: list
    onset: float | None
    samples: float
    end: float
    streams: list
    side_data: dict
    metadata: dict
    colours: tuple
    pixel_format: str


@pytest.fixture(scope='session')
def restore(tmp_path_factory):
    """Run the command with bicubic enlargement; give its exit code."""
    weights = tmp_path_factory.mktemp('network') / 'bicubic.pth'
    torch.save({'state_dict': {}}, weights)

    def run(src, dst, *options):
        network = ['--config', BICUBIC, '--checkpoint', weights, '--device', 'cpu']
        arguments = [src, '--out', dst, *network, *options]
        return main([*map(str, arguments)])

    return run


@pytest.fixture(scope='session')
def network(tmp_path_factory):
    """Arguments that name a tiny network."""
    folder = tmp_path_factory.mktemp('network')
    tiny_config().dump(folder / 'config.py')
    torch.save(dict(state_dict=tiny_network().state_dict()), folder / 'a.pth')
    return [
        '--config', str(folder / 'config.py'), '--checkpoint', str(folder / 'a.pth'),
        '--device', 'cpu',
    ]  # fmt: skip


@pytest.fixture
def run_command(network):
    """Run the command with the tiny network; give its exit code."""

    def run(*arguments):
        return main([*map(os.fspath, arguments), *network])

    return run


@pytest.fixture
def make_clip(tmp_path):
    """Write a short clip, a video file or a folder of images; gives its path."""

    def make(name, num_frames=3, size=(10, 14)):
        path = tmp_path / name
        with open_writer(path, fps=25) as writer:
            for image in moving_images(num_frames, size):
                writer.write(image)
        return path

    return make


@pytest.fixture
def files():
    return FILES


@pytest.fixture
def look():
    return look_at


def look_at(path):
    """Decode a file with FFmpeg's libraries, without the package."""
    times, images, sound = [], [], []
    end, side_data = 0.0, {}
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        audio = container.streams.audio[0] if container.streams.audio else None
        streams = [
            f'{s.type} {s.codec_context and s.codec_context.codec.canonical_name}'
            for s in container.streams
        ]
        for packet in container.demux([s for s in (video, audio) if s]):
            if packet.stream is video and packet.size:
                ticks = packet.dts if packet.pts is None else packet.pts
                stop = (ticks + packet.duration) * packet.time_base
                end = max(end, float(stop))
            for frame in decode(packet):
                # AVI has no presentation times, and those of FFmpeg are wrong.
                has_none = frame.pts is None or path.suffix == '.avi'
                ticks = frame.dts if has_none else frame.pts
                if ticks is None and sound:  # as at the end of WMA
                    last, rate, samples = sound[-1]
                    time = last + len(samples) / rate
                else:
                    time = float(ticks * packet.time_base)
                if packet.stream is video:
                    if not times:
                        side_data = {
                            kind: bytes(frame.side_data.get(kind))
                            for kind in ('MASTERING_DISPLAY_METADATA',
                                         'CONTENT_LIGHT_LEVEL')
                            if frame.side_data.get(kind) is not None
                        }  # fmt: skip
                    times.append(time)
                    images.append(to_rgb(frame))
                else:
                    sound.append((time, frame.sample_rate, as_mono(frame)))
        if video.duration is not None:
            end = float(((video.start_time or 0) + video.duration) * video.time_base)
        context = video.codec_context
        return Seen(
            times,
            images,
            find_onset(sound),
            sum(len(samples) / rate for _, rate, samples in sound),
            end,
            streams,
            side_data,
            {name.lower(): text for name, text in container.metadata.items()},
            (context.color_primaries, context.color_trc, int(context.colorspace)),
            context.pix_fmt,
        )


def decode(packet):
    try:
        return packet.decode()
    except av.FFmpegError:
        return []  # Copied audio may be damaged.


def to_rgb(frame):
    return frame.reformat(
        format='rgb24', interpolation=0x4 | 0x2000 | 0x4000 | 0x40000
    ).to_ndarray()


def as_mono(frame):
    samples = frame.to_ndarray().astype(float)
    if frame.format.name.startswith('s'):
        samples /= 2.0 ** (8 * frame.format.bytes - 1)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(frame.layout.channels)).T
    return samples.mean(0)


def find_onset(sound):
    for time, rate, samples in sound:
        loud = np.flatnonzero(abs(samples) > 0.05)
        if len(loud):
            return time + loud[0] / rate
    return None


class Track(NamedTuple):
    """A stream to write.

    Attributes:
        codec (str): FFmpeg's name of the encoder.
        frames (list): (time, RGB image), or (time, samples) of mono audio.
        options (dict): Attributes of the encoder.
    """

    codec: str
    frames: list
    options: dict = {}  # noqa: RUF012


@pytest.fixture
def make(tmp_path):
    """Write a file of tracks; tags, chapters and packets can be changed."""

    def write(name, *tracks, tags=None, chapters=(), last_duration=None, **options):
        path = tmp_path / name
        with av.open(str(path), 'w', container_options=options) as container:
            packets = []
            container.metadata.update(tags or {})
            container.set_chapters(list(chapters))
            streams = [add_track(container, track) for track in tracks]
            container.start_encoding()
            for stream, track in zip(streams, tracks, strict=True):
                packets += encode(stream, track)
            if last_duration:
                video = [p for p in packets if p.stream.type == 'video']
                last = max(video, key=lambda p: p.pts)
                last.duration = round(last_duration / last.time_base)
            packets.sort(key=lambda p: (p.dts if p.dts is not None else p.pts)
                         * p.time_base)  # fmt: skip
            container.mux(packets)
        return path

    return write


def add_track(container, track):
    options = dict(track.options)
    encoder = options.pop('encoder', {})
    if track.frames[0][1].ndim == 3:
        stream = container.add_stream(track.codec, rate=25, options=encoder)
        stream.height, stream.width = track.frames[0][1].shape[:2]
        stream.pix_fmt = options.pop('pix_fmt', 'yuv420p')
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.max_b_frames = options.pop('max_b_frames', 0)
    else:
        rate = options.pop('rate', RATE)
        stream = container.add_stream(track.codec, rate=rate, options=encoder)
        stream.codec_context.layout = options.pop('layout', 'mono')
    for name, value in options.items():
        setattr(stream.codec_context, name, value)
    return stream


def encode(stream, track):
    context = stream.codec_context
    frames = []
    for time, values in track.frames:
        if values.ndim == 3:
            deep = values.dtype == np.uint16
            frame = av.VideoFrame.from_ndarray(values, 'rgb48le' if deep else 'rgb24')
            frame = frame.reformat(
                format=context.pix_fmt,
                dst_colorspace=int(context.colorspace) if context.colorspace else None,
                interpolation=0x4 | 0x2000 | 0x4000 | 0x40000,
            )
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            frames.append(frame)
        else:
            frame = av.AudioFrame.from_ndarray(values[None], 's16', 'mono')
            frame.sample_rate = RATE
            frame.pts, frame.time_base = round(time * RATE), Fraction(1, RATE)
            resampler = av.AudioResampler(
                context.format.name,
                context.layout.name,
                context.sample_rate,
                context.frame_size or 512,
            )
            frames += resampler.resample(frame) + resampler.resample(None)
    return [p for frame in [*frames, None] for p in stream.encode(frame) if p.size]


@pytest.fixture
def moving():
    """Frames of a square that moves, with their times."""

    def draw(times, size=(24, 32), step=2):
        frames = []
        for index, time in enumerate(times):
            image = np.full((*size, 3), 60, np.uint8)
            left = 2 + step * index % (size[1] - 12)
            image[8:16, left : left + 8] = 220
            frames.append((time, image))
        return frames

    return draw


@pytest.fixture
def tone():
    """A tone of some seconds that begins at a time."""

    def play(begin, seconds, frequency=440):
        phase = np.arange(round(seconds * RATE)) * frequency * 2 * np.pi / RATE
        return [(begin, (np.cos(phase) * 16000).astype(np.int16))]

    return play


@pytest.fixture
def track():
    return Track


@pytest.fixture
def warned(caplog):
    """All that was logged, in one text."""
    caplog.set_level('WARNING')
    return lambda: ' '.join(caplog.messages)


@pytest.fixture
def read_packets():
    """The packets of a file by type of stream."""

    def read(path):
        found = defaultdict(list)
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.size:
                    found[packet.stream.type].append(bytes(packet))
        return found

    return read
