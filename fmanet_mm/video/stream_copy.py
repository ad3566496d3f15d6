"""Audio, subtitles and tags of a video file, copied without changes."""

import io
import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av

from .container import exact, open_container

_LOGGER = logging.getLogger('fmanet_mm')
_COPIED = ('audio', 'subtitle', 'attachment')
_STREAM_TAGS = {
    'language': 'language',
    'name': 'title',
    'title': 'title',
    'handler_name': 'handler_name',
}
"""Tags of a stream that are copied, and their names; "name" in MP4 is a title."""
_FORMAT_TAGS = ('encoder', 'major_brand', 'minor_version', 'compatible_brands')
"""Tags that describe the source file, not its content."""


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


class CopiedStreams:
    """The audio, subtitle and attachment streams of a video file, for another file.

    A context manager. Audio and subtitles are copied packet by packet, with their
    language, title and disposition; so are attachments, such as the fonts of subtitles.

    Args:
        path (str | PathLike): A local video file.
        format (str): FFmpeg's name of the container that they are copied to.

    Attributes:
        unfit (list[str]): Descriptions of the streams that this container cannot hold.
        tick (Fraction): Unit of the video's timestamps in seconds.
    """

    def __init__(self, path: str | os.PathLike, format: str) -> None:
        self._path = path
        self._file = open(path, 'rb')
        self._container = open_container(self._file)
        self.tick = exact(self._container.streams.best('video').time_base)
        streams = [s for s in self._container.streams if s.type in _COPIED]
        self._streams = [stream for stream in streams if _fits(stream, format)]
        self.unfit = [_describe(s) for s in streams if s not in self._streams]
        self._targets = {}

    def __enter__(self) -> 'CopiedStreams':
        return self

    def __exit__(self, *exc_info) -> None:
        self._container.close()
        self._file.close()

    def add_to(self, container: av.container.OutputContainer, span: TimeSpan) -> None:
        """Add the streams, chapters and tags to an output file."""
        for stream in self._streams:
            target = container.add_stream_from_template(stream, opaque=True)
            target.disposition = stream.disposition.value
            target.metadata.update(
                (_STREAM_TAGS[name], value)
                for name, value in stream.metadata.items()
                if name in _STREAM_TAGS
            )
            self._targets[stream.index] = target
        container.metadata.update(
            (name, value)
            for name, value in self._container.metadata.items()
            if name.lower() not in _FORMAT_TAGS
        )
        chapters = (_move_chapter(c, span) for c in self._container.chapters())
        container.set_chapters([chapter for chapter in chapters if chapter])

    def packets(self, span: TimeSpan) -> Iterator[av.Packet]:
        """Give the packets of a part, with times and streams of the output file.

        In a damaged file they end early, which is logged.
        """
        streams = [s for s in self._streams if s.type != 'attachment']
        if not streams:
            return
        last = {}
        try:
            for packet in self._container.demux(streams):
                source = packet.stream
                if packet.size == 0 or _is_filler(packet):
                    continue
                if source.type == 'audio':
                    _fill_duration(packet, last.get(source.index))
                    last[source.index] = packet.pts
                if _move(packet, span, source.type == 'subtitle'):
                    packet.stream = self._targets[source.index]
                    yield packet
        except av.FFmpegError as error:
            _LOGGER.warning(
                'audio and subtitles of %s are copied only up to a damaged part (%s)',
                self._path,
                error.strerror,
            )


def _fits(stream: av.stream.Stream, format: str) -> bool:
    """Whether a container can hold a stream, found by trying."""
    try:
        with av.open(io.BytesIO(), 'w', format=format) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _describe(stream: av.stream.Stream) -> str:
    context = stream.codec_context
    about = [stream.type, context and context.codec.canonical_name, stream.language]
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
