"""Audio, subtitles, other streams and tags of a video file, for another file."""

import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from math import floor
from typing import NamedTuple

import av
from av.filter import Graph
from av.format import Flags

from .clock import ContinuousClock
from .container import exact, open_container
from .stream_plan import StreamPlan, add_copy, copy_packet, is_cover, plan_streams

_LOGGER = logging.getLogger('fmanet_mm')
_ENCODING_TAGS = (
    'encoder',
    'vendor_id',
    'creation_time',
    'alpha_mode',
    'duration',
    'bps',
    'number_of_frames',
    'number_of_bytes',
    '_statistics',
    'source_id',
)
"""Beginnings of tags that describe the encoding of a stream, which may change."""
_KNOWN_STREAM_TAGS = {
    'avi': ('title', 'handler_name', 'language'),
    'mp4': ('title', 'handler_name', 'language', 'timecode'),
    'mov': ('title', 'handler_name', 'language', 'timecode'),
}
"""Tags of streams that containers hold, or whose loss is known; others hold any."""
_FORMAT_TAGS = (
    'encoder',
    'software',
    'major_brand',
    'minor_version',
    'compatible_brands',
)
"""Tags that describe the source file, not its content."""
_KNOWN_TAGS = {
    'avi': 'title artist copyright comment album genre track encoded_by date language',
    'mp4': 'title artist album_artist composer album date comment genre copyright '
    'grouping lyrics description synopsis show episode_id network keywords track disc '
    'compilation gapless_playback hd_video media_type creation_time location make '
    'model performer season_number episode_sort timecode encoded_by',
}
_KNOWN_TAGS['mov'] = _KNOWN_TAGS['mp4']
"""Tags that containers can hold; others hold any."""


class TimeSpan(NamedTuple):
    """The part of a file that is copied.

    Attributes:
        zero (Fraction): Timestamp in the file, in seconds, that becomes time 0.
        is_cut (bool): Whether packets before it are left out.
        end (Fraction | None): Seconds after ``zero`` at which the part ends.
    """

    zero: Fraction
    is_cut: bool
    end: Fraction | None


class MuxError(Exception):
    """A stream cannot be written after all.

    Attributes:
        index (int): Its index in the source.
        reason (str): Why.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


class CopiedStreams:
    """All streams of a video file but the main video, for another file.

    A context manager. Streams are copied packet by packet, with their language, title
    and disposition; audio that the other container cannot hold is converted without
    loss.

    Args:
        path (str | PathLike): A local video file.
        format (str): FFmpeg's name of the container that they are copied to.
        plan (StreamPlan, optional): What becomes of the streams, from :meth:`plan`.

    Attributes:
        tick (Fraction): Unit of the video's timestamps in seconds.
    """

    def __init__(
        self, path: str | os.PathLike, format: str, plan: StreamPlan | None = None
    ) -> None:
        self._path = path
        self._format = format
        self._file = open(path, 'rb')
        self._container = open_container(self._file)
        self._video = self._container.streams.best('video')
        self.tick = exact(self._video.time_base)
        self._plan = plan or StreamPlan()
        self._targets = {}
        self._last = {}

    def __enter__(self) -> 'CopiedStreams':
        return self

    def __exit__(self, *exc_info) -> None:
        self._container.close()
        self._file.close()

    def plan(self, zero: Fraction, is_cut: bool, tick: Fraction) -> StreamPlan:
        """Decide what becomes of the streams; see :func:`plan_streams`.

        It reads packets, so it is for an instance of its own.
        """
        return plan_streams(
            self._container, self._format, zero=zero, is_cut=is_cut, tick=tick
        )

    def describe(self, indices: list[int]) -> list[str]:
        """Name streams for a message."""
        return [_describe(self._container.streams[index]) for index in indices]

    def lost_tags(self, plan: StreamPlan) -> list[str]:
        """Name the tags and chapters that the container cannot hold."""
        known = _KNOWN_STREAM_TAGS.get(self._format)
        if known is None:
            return []
        lost = []
        if self._format == 'avi':  # The others take them, without a standard.
            lost = [f'tag {name}' for name in self._unknown_tags()]
            if num_chapters := len(self._container.chapters()):
                lost.append(f'{num_chapters} chapters')
        if self._container.format.name == 'ogg':
            return lost  # Those of streams are those of the file.
        return lost + [
            f'tag {name} of stream {index}'
            for index in sorted([self._video.index, *plan.used])
            for name in _stream_tags(self._container.streams[index])
            if name.lower() not in known
        ]

    def container_options(self) -> dict[str, str]:
        """Options with which the container holds all tags."""
        if self._format in ('mp4', 'mov') and self._unknown_tags():
            return {'movflags': 'use_metadata_tags'}
        return {}

    def add_to(
        self,
        container: av.container.OutputContainer,
        video: av.VideoStream,
        span: TimeSpan,
    ) -> None:
        """Add the streams, chapters and tags to an output file.

        Args:
            container (OutputContainer): The file.
            video (VideoStream): Its video stream, which gets the tags of the source's.
            span (TimeSpan): The part that is copied.

        Raises:
            MuxError: If a stream cannot be added.
        """
        for index in self._plan.used:
            source = self._container.streams[index]
            try:
                target = self._add(container, source, span)
            except (ValueError, av.FFmpegError) as error:
                raise MuxError(index, str(error)) from error
            target.stream.disposition = source.disposition.value
            target.stream.metadata.update(_stream_tags(source))
            self._targets[index] = target
        for cover in self._plan.attached.values():
            container.add_attachment(*cover)
        video.metadata.update(
            (name, value)
            for name, value in _stream_tags(self._video).items()
            if name != 'handler_name' and (name != 'timecode' or not span.is_cut)
        )
        container.metadata.update(self._tags(span))
        chapters = (_move_chapter(c, span) for c in self._container.chapters())
        container.set_chapters([chapter for chapter in chapters if chapter])

    def packets(self, span: TimeSpan) -> Iterator[av.Packet]:
        """Give the packets of a part, with times and streams of the output file.

        In a damaged file they end early, which is logged.
        """
        streams = [self._container.streams[index] for index in self._plan.used]
        streams = [s for s in streams if s.type != 'attachment']
        if not streams:
            return
        clock = ContinuousClock(self._container)
        last = {}
        try:
            for packet in self._container.demux(clock.streams(*streams)):
                clock.correct(packet)
                source = packet.stream
                if source.index not in self._targets or packet.size == 0:
                    continue
                if self._is_hidden(packet) or _is_filler(packet):
                    continue
                if source.type == 'audio':
                    _fill_duration(packet, last.get(source.index))
                    last[source.index] = packet.pts
                yield from self._targets[source.index].feed(packet)
        except av.FFmpegError as error:
            _LOGGER.warning(
                'audio and subtitles of %s are copied only up to a damaged part (%s)',
                self._path,
                error.strerror,
            )
        yield from chain.from_iterable(t.flush() for t in self._targets.values())

    def _is_hidden(self, packet: av.Packet) -> bool:
        """Whether an edit list cuts it off, and no other edit list will hide it.

        The last such packet before the audio that is heard is needed to decode that.
        """
        if not packet.is_discard or self._format in ('mp4', 'mov'):
            return False
        heard = packet.stream.start_time
        return None in (heard, packet.pts) or packet.pts + 2 * packet.duration <= heard

    def source_of(self, packet: av.Packet) -> int | None:
        """Index of the source's stream that a packet comes from; None for the video."""
        for index, target in self._targets.items():
            if target.stream.index == packet.stream_index:
                return index
        return None

    def _add(
        self,
        container: av.container.OutputContainer,
        source: av.stream.Stream,
        span: TimeSpan,
    ) -> '_Copy | _Conversion':
        encoder = self._plan.converted.get(source.index)
        if encoder is None:
            return _Copy(source, add_copy(container, source), span)
        return _Conversion(container, source, encoder, span)

    def _tags(self, span: TimeSpan) -> dict[str, str]:
        return {
            name: value
            for name, value in self._file_tags().items()
            if name.lower() not in _FORMAT_TAGS
            and (name != 'timecode' or not span.is_cut)
        }

    def _file_tags(self) -> dict[str, str]:
        """Tags of the file, which Ogg has in its streams."""
        tags = {}
        if self._container.format.name == 'ogg':
            for stream in [*self._container.streams, self._video]:
                tags.update(_stream_tags(stream))
            tags.pop('language', None)
        return tags | self._container.metadata

    def _unknown_tags(self) -> list[str]:
        if self._format not in _KNOWN_TAGS:
            return []
        known = _KNOWN_TAGS[self._format].split()
        names = [name.lower() for name in self._file_tags()]
        return [
            n for n in names if n not in _FORMAT_TAGS and n.split('-')[0] not in known
        ]


def _stream_tags(stream: av.stream.Stream) -> dict[str, str]:
    """Tags of a stream that hold for a copy, too; "name" in MP4 is a title."""
    return {
        'title' if name == 'name' else name: value
        for name, value in stream.metadata.items()
        if not name.lower().startswith(_ENCODING_TAGS) and value != 'und'
    }


class _Target:
    """A stream of the output, whose times must increase, or at least not decrease."""

    def __init__(self, stream: av.stream.Stream) -> None:
        self.stream = stream
        self._last = None
        allows_equal = stream.container.format.flags & Flags.ts_nonstrict.value
        self._step = 0 if allows_equal else 1

    def _settle(self, packet: av.Packet) -> av.Packet:
        """Convert times to the stream's unit; like FFmpeg's tool, let them increase."""
        unit = exact(self.stream.time_base)
        factor = exact(packet.time_base) / unit
        if packet.dts is None:
            packet.dts = packet.pts
        pts, dts, duration = (
            None if ticks is None else floor(ticks * factor + Fraction(1, 2))
            for ticks in (packet.pts, packet.dts, packet.duration)
        )
        if self._last is not None:
            dts = max(dts, self._last + self._step)
        self._last = dts
        packet.time_base = unit
        packet.dts, packet.pts = dts, dts if pts is None else max(pts, dts)
        packet.duration = duration or 0
        packet.stream = self.stream
        return packet


class _Copy(_Target):
    """A copied stream."""

    def __init__(
        self, source: av.stream.Stream, stream: av.stream.Stream, span: TimeSpan
    ) -> None:
        super().__init__(stream)
        self._is_cover = is_cover(source)
        self._is_subtitle = source.type == 'subtitle'
        self._span = span

    def feed(self, packet: av.Packet) -> Iterator[av.Packet]:
        if self._is_cover:
            packet = copy_packet(packet)
            packet.pts = packet.dts = 0
            yield self._settle(packet)
        elif _move(packet, self._span, self._is_subtitle):
            yield self._settle(packet)

    def flush(self) -> Iterator[av.Packet]:
        return iter(())


class _Conversion(_Target):
    """Audio that is decoded and encoded again; pauses become silence."""

    def __init__(
        self,
        container: av.container.OutputContainer,
        source: av.AudioStream,
        encoder: str,
        span: TimeSpan,
    ) -> None:
        context = source.codec_context
        super().__init__(container.add_stream(encoder, rate=context.sample_rate))
        self._encoder = self.stream.codec_context
        self._encoder.layout = context.layout
        self._encoder.format = _sample_format(encoder, context.format.name)
        self._decoder = context
        self._span = span
        self._pads = container.format.name == 'avi'
        self._graph = None
        self._next = None

    def feed(self, packet: av.Packet) -> Iterator[av.Packet]:
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:
            return  # A pause, which becomes silence.
        for frame in frames:
            yield from self._filter(frame, packet.time_base)

    def flush(self) -> Iterator[av.Packet]:
        try:
            for frame in self._decoder.decode(None):
                yield from self._filter(frame, frame.time_base)
        except av.FFmpegError:
            pass
        if self._graph is not None:
            self._graph.push(None)
            yield from self._pull()
            yield from map(self._settle, self._encoder.encode(None))

    def _filter(self, frame: av.AudioFrame, unit: Fraction) -> Iterator[av.Packet]:
        rate = frame.sample_rate
        time = self._next or -self._span.zero
        if frame.pts is not None:
            time = frame.pts * exact(unit) - self._span.zero
        self._next = time + Fraction(frame.samples, rate)
        end = self._span.end
        if (end is not None and time >= end) or (self._span.is_cut and time < 0):
            return
        frame.pts, frame.time_base = round(time * rate), Fraction(1, rate)
        if self._graph is None:
            self._graph = _pad_pauses(frame, self._encoder, self._pads)
        self._graph.push(frame)
        yield from self._pull()

    def _pull(self) -> Iterator[av.Packet]:
        while True:
            try:
                frame = self._graph.pull()
            except (av.FFmpegError, BlockingIOError):
                return  # It needs another frame, or is at its end.
            yield from map(self._settle, self._encoder.encode(frame))


def _pad_pauses(
    frame: av.AudioFrame, encoder: av.AudioCodecContext, from_zero: bool
) -> Graph:
    """A filter that fills pauses with silence, and converts samples for an encoder."""
    graph = Graph()
    options = 'async=1:min_hard_comp=0.05' + (':first_pts=0' if from_zero else '')
    chain = [
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=Fraction(1, frame.sample_rate),
        ),
        graph.add('aresample', options),
        graph.add(
            'aformat',
            f'sample_fmts={encoder.format.name}:sample_rates={encoder.sample_rate}:'
            f'channel_layouts={encoder.layout.name}',
        ),
        graph.add('abuffersink'),
    ]
    graph.link_nodes(*chain).configure()
    return graph


def _sample_format(encoder: str, source: str) -> str:
    if encoder.startswith('pcm_s16') or source in ('u8', 'u8p', 's16', 's16p'):
        return 's16'
    return 's32'


def _describe(stream: av.stream.Stream) -> str:
    context = stream.codec_context
    about = [
        'cover picture' if is_cover(stream) else stream.type,
        context and context.codec.canonical_name,
        getattr(stream, 'language', None),
        stream.metadata.get('handler_name', '').strip() if context is None else None,
        stream.metadata.get('timecode'),
    ]
    return f'stream {stream.index} ({", ".join(filter(None, about))})'


def _is_filler(packet: av.Packet) -> bool:
    """Whether it is one of MP4's empty texts, which FFmpeg adds between subtitles."""
    return packet.stream.name == 'mov_text' and bytes(packet) == bytes(2)


def _fill_duration(packet: av.Packet, last: int | None) -> None:
    """Reuse the previous duration, or MP4 drops the last packet."""
    if not packet.duration and None not in (packet.pts, last):
        packet.duration = packet.pts - last


def _move(packet: av.Packet, span: TimeSpan, is_subtitle: bool) -> bool:
    """Shift a packet to the times of the part; return whether it lies inside.

    Subtitles at the edges are shortened to the part.
    """
    begin = packet.pts if packet.pts is not None else packet.dts
    if begin is None:
        return False
    unit = packet.time_base
    shift = round(span.zero / unit)
    begin -= shift
    stop = begin + (packet.duration or 0)
    packet.pts = begin
    packet.dts = None if packet.dts is None else packet.dts - shift
    end = None if span.end is None else round(span.end / unit)
    if is_subtitle and stop > begin:
        first = max(begin, 0) if span.is_cut else begin
        last = stop if end is None else min(stop, end)
        packet.pts = packet.dts = first
        packet.duration = last - first
        return first < last
    return (not span.is_cut or begin >= 0) and (end is None or begin < end)


def _move_chapter(chapter: dict, span: TimeSpan) -> dict | None:
    """Cut a chapter to the part; None if it lies outside."""
    unit = chapter['time_base']
    shift = round(span.zero / unit)
    begin = max(chapter['start'] - shift, 0)
    stop = chapter['end'] - shift
    if span.end is not None:
        stop = min(stop, round(span.end / unit))
    return {**chapter, 'start': begin, 'end': stop} if begin < stop else None
