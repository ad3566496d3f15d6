"""Which streams of a file another container can hold, found by trying."""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import av
from av.stream import Disposition

from .clock import ContinuousClock
from .container import exact

_NUM_PACKETS = 8
"""Packets of each stream that are tried."""
_MAX_READ = 3000
"""Most packets that are read to find them; some streams begin late."""
_COVER_FORMATS = ('mp4', 'mov')
"""Containers that hold a cover picture as a stream; Matroska attaches it."""
_MIME_TYPES = {'mjpeg': 'image/jpeg', 'png': 'image/png'}
"""Types of cover pictures by codec."""
_COVER_NAMES = {'image/jpeg': 'cover.jpg', 'image/png': 'cover.png'}
"""What Matroska calls them."""
_TIMECODE_FORMATS = ('mp4', 'mov', 'matroska')
"""Containers in which a timecode is a tag of the video stream."""
_FLOAT_PCM = ('pcm_f32le', 'pcm_f32be', 'pcm_f64le', 'pcm_f64be')
_UNDECODABLE = {'mp4': _FLOAT_PCM}
"""Audio that can be written to a container, but that many players cannot read."""
_LOSSLESS = {
    'mp4': ('flac', 'flac'),
    'matroska': ('flac', 'flac'),
    'mov': ('pcm_s16le', 'pcm_s24le'),
    'avi': ('pcm_s16le', 'pcm_s24le'),
}
"""Lossless encoders by container: for 16 bits, and for more."""
_IN_STEP = Fraction(2, 1000)
"""Seconds that audio may be off in AVI, whose streams begin at the same time."""
_SHORT = ('u8', 'u8p', 's16', 's16p')


class Attachment(NamedTuple):
    """A file inside a video file."""

    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True)
class StreamPlan:
    """What becomes of the streams of a file.

    Args:
        copied (list[int]): Indices of streams that are copied packet by packet.
        converted (dict[int, str]): Encoder of audio streams that are converted.
        as_tag (list[int]): Indices of timecode tracks, kept as a tag of the video.
        attached (dict[int, Attachment]): Cover pictures that become attached files.
        left_out (list[int]): Indices of the others.
        starts (dict[int, Fraction]): When streams begin, in seconds.
    """

    copied: list[int] = field(default_factory=list)
    converted: dict[int, str] = field(default_factory=dict)
    as_tag: list[int] = field(default_factory=list)
    attached: dict[int, Attachment] = field(default_factory=dict)
    left_out: list[int] = field(default_factory=list)
    starts: dict[int, Fraction] = field(default_factory=dict)

    @property
    def used(self) -> list[int]:
        """Indices of the streams that the output has."""
        return sorted([*self.copied, *self.converted])

    def lead(self, zero: Fraction) -> Fraction:
        """Seconds by which streams begin before a time, at least 0."""
        starts = [self.starts[i] for i in self.used if i in self.starts]
        return max(zero - min(starts, default=zero), Fraction(0))

    def drop(self, index: int) -> 'StreamPlan':
        """Leave a stream out that turned out not to fit."""
        return replace(
            self,
            copied=[i for i in self.copied if i != index],
            converted={i: name for i, name in self.converted.items() if i != index},
            left_out=[*self.left_out, index],
        )


def plan_streams(
    container: av.container.InputContainer,
    format: str,
    *,
    zero: Fraction,
    is_cut: bool,
    tick: Fraction,
) -> StreamPlan:
    """Decide by trying what becomes of all streams but the main video.

    Args:
        container (InputContainer): The file; its first packets are read.
        format (str): FFmpeg's name of the container to write.
        zero (Fraction): Timestamp of the first picture in seconds.
        is_cut (bool): Whether the beginning of the file is cut off.
        tick (Fraction): Unit of the picture's times in seconds.
    """
    video = container.streams.best('video')
    others = [s for s in container.streams if s.index != video.index]
    samples = _read_samples(container, others)
    plan = StreamPlan()
    for stream in others:
        start = _start_of(stream, samples[stream.index])
        if start is not None and stream.type in ('audio', 'subtitle'):
            plan.starts[stream.index] = start
        if _is_kept_timecode(stream, format, is_cut):
            plan.as_tag.append(stream.index)
        elif cover := _as_attachment(stream, samples[stream.index], format):
            plan.attached[stream.index] = cover
        elif _fits(stream, samples[stream.index], format):
            plan.copied.append(stream.index)
        elif encoder := _find_lossless(stream, samples[stream.index], format):
            plan.converted[stream.index] = encoder
        else:
            plan.left_out.append(stream.index)
    if format == 'avi':
        _pad_in_avi(plan, container, samples, zero, tick, is_cut)
    return plan


def add_copy(
    container: av.container.OutputContainer, stream: av.stream.Stream
) -> av.stream.Stream:
    """Add a stream for copied packets.

    Raises:
        ValueError | FFmpegError: If the container cannot hold it.
    """
    return container.add_stream_from_template(stream, opaque=True)


def is_cover(stream: av.stream.Stream) -> bool:
    """Whether it is a picture that belongs to the file, such as cover art."""
    return Disposition.attached_pic in stream.disposition


def copy_packet(packet: av.Packet) -> av.Packet:
    """Copy the data and times of a packet."""
    copy = av.Packet(bytes(packet))
    copy.pts, copy.dts = packet.pts, packet.dts
    copy.duration, copy.time_base = packet.duration, packet.time_base
    copy.is_keyframe = packet.is_keyframe
    return copy


def _read_samples(
    container: av.container.InputContainer, streams: Iterable[av.stream.Stream]
) -> dict[int, list[av.Packet]]:
    """The first packets of each stream."""
    samples = defaultdict(list)
    wanted = {s.index for s in streams if s.type != 'attachment'}
    if not wanted:
        return samples
    clock = ContinuousClock(container)
    try:
        for number, packet in enumerate(container.demux()):
            clock.correct(packet)
            found = samples[packet.stream_index]
            if packet.size and packet.stream_index in wanted:
                found.append(packet)
                if len(found) == _NUM_PACKETS:
                    wanted.discard(packet.stream_index)
            if not wanted or number == _MAX_READ:
                break
    except av.FFmpegError:
        pass  # What could be read has to do.
    return samples


def _start_of(stream: av.stream.Stream, packets: list[av.Packet]) -> Fraction | None:
    """When a stream begins to be heard or seen, without the priming of its decoder.

    MP4 leaves the priming out of a stream's start, Matroska does not.
    """
    first = min(_times(packets), default=None)
    if first is not None and stream.type == 'audio' and stream.sample_rate:
        first += Fraction(stream.codec_context.delay, stream.sample_rate)
    start = stream.start_time
    if start is None:
        return first
    start = start * exact(stream.time_base)
    return start if first is None else max(start, first)


def _times(packets: list[av.Packet]) -> list[Fraction]:
    """Presentation times of packets in seconds, as far as they are known."""
    return [p.pts * exact(p.time_base) for p in packets if p.pts is not None]


def _is_kept_timecode(stream: av.stream.Stream, format: str, is_cut: bool) -> bool:
    return (
        stream.type == 'data'
        and 'timecode' in stream.metadata
        and format in _TIMECODE_FORMATS
        and not is_cut
    )


def _as_attachment(
    stream: av.stream.Stream, packets: list[av.Packet], format: str
) -> Attachment | None:
    """A cover picture for Matroska; None if it is something else.

    PyAV can attach files from version 16 on.
    """
    mime_type = _MIME_TYPES.get(_codec_name(stream))
    can_attach = hasattr(av.container.OutputContainer, 'add_attachment')
    if not (is_cover(stream) and format == 'matroska' and packets and mime_type):
        return None
    if not can_attach:
        return None
    name = stream.metadata.get('filename', _COVER_NAMES[mime_type])
    return Attachment(name, mime_type, bytes(packets[0]))


def _fits(stream: av.stream.Stream, packets: list[av.Packet], format: str) -> bool:
    """Whether a container holds a stream so that it can be read from there."""
    if is_cover(stream) and format not in _COVER_FORMATS:
        return False
    if _codec_name(stream) in _UNDECODABLE.get(format, ()):
        return False
    if stream.type == 'attachment':
        return format == 'matroska'  # WebM drops them without a word.
    file = io.BytesIO()
    try:
        with av.open(file, 'w', format=format) as trial:
            target = add_copy(trial, stream)
            target.disposition = stream.disposition.value
            trial.start_encoding()
            for packet in _from_zero(packets):
                packet.stream = target
                trial.mux(packet)
        return not packets or _can_be_read(file.getvalue(), stream, packets)
    except (ValueError, NotImplementedError, av.FFmpegError):
        return False


def _from_zero(packets: list[av.Packet]) -> Iterator[av.Packet]:
    """Copies of packets, none of which is hidden by its time."""
    first = min((p.dts for p in packets if p.dts is not None), default=0)
    for packet in map(copy_packet, packets):
        packet.pts = None if packet.pts is None else packet.pts - first
        packet.dts = None if packet.dts is None else packet.dts - first
        yield packet


def _can_be_read(
    data: bytes, stream: av.stream.Stream, written: list[av.Packet]
) -> bool:
    """Whether a trial gives packets, which are heard in time if they are audio."""
    with av.open(io.BytesIO(data)) as trial:
        [copy] = trial.streams
        if copy.type != stream.type:
            return False
        packets = [packet for packet in trial.demux(copy) if packet.size]
        if stream.type == 'audio':
            # MP4 names layer 2 of MPEG audio like layer 3.
            return _decodes(copy, packets) and (
                trial.format.name != 'avi' or _keeps_pace(written, packets)
            )
        return bool(packets) and _codec_name(copy) == _codec_name(stream)


def _keeps_pace(written: list[av.Packet], read: list[av.Packet]) -> bool:
    """Whether packets have the times they were written with.

    AVI has none but a rate, and not for every codec the right one.
    """
    spans = []
    for packets in (written, read):
        times = _times(packets)
        spans.append(max(times, default=0) - min(times, default=0))
    return abs(spans[1] - spans[0]) <= spans[0] / 5 + _IN_STEP


def _decodes(stream: av.stream.Stream, packets: list[av.Packet]) -> bool:
    context = stream.codec_context
    try:
        frames = [frame for packet in packets for frame in context.decode(packet)]
        return bool(frames or context.decode(None))
    except av.FFmpegError:
        return False


def _find_lossless(
    stream: av.stream.Stream, packets: list[av.Packet], format: str
) -> str | None:
    """Encoder for audio that cannot be copied; None if there is none."""
    if stream.type != 'audio' or format not in _LOSSLESS or _codec_name(stream) is None:
        return None
    if not _decodes(stream, packets):
        return None
    short, long = _LOSSLESS[format]
    return short if stream.codec_context.format.name in _SHORT else long


def _pad_in_avi(
    plan: StreamPlan,
    container: av.container.InputContainer,
    samples: dict[int, list[av.Packet]],
    zero: Fraction,
    tick: Fraction,
    is_cut: bool,
) -> None:
    """Convert audio that must be padded to begin with the picture.

    Packets that begin earlier cannot be copied. Where a part begins, the first packet
    may be late by its length.
    """
    begin = zero - -(-plan.lead(zero) // tick) * tick
    for index in list(plan.copied):
        stream = container.streams[index]
        times = [t for t in _times(samples[index]) if t >= begin]
        late = max(min(times, default=begin), plan.starts.get(index, begin)) - begin
        if is_cut:
            late = max((b - a for a, b in pairwise(times)), default=Fraction(0))
        if stream.type == 'audio' and late > _IN_STEP:
            plan.copied.remove(index)
            short, long = _LOSSLESS['avi']
            is_short = stream.codec_context.format.name in _SHORT
            plan.converted[index] = short if is_short else long


def _codec_name(stream: av.stream.Stream) -> str | None:
    context = stream.codec_context
    return context and context.codec.canonical_name
