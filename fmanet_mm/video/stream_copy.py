"""Sound, subtitles and tags of a video file, copied as they are."""

import io
import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import av
from mmengine.logging import print_log

from .container import open_container

_COPIED = ('audio', 'subtitle', 'attachment')
# What MP4 calls a name is a title elsewhere.
_STREAM_TAGS = {
    'language': 'language',
    'name': 'title',
    'title': 'title',
    'handler_name': 'handler_name',
}
# Of the file that is copied from, and not of what it shows.
_FORMAT_TAGS = ('encoder', 'major_brand', 'minor_version', 'compatible_brands')


class Window(NamedTuple):
    """Which part of a file is copied.

    Attributes:
        zero (Fraction): What becomes time 0, in seconds of the file's own clock.
        is_cut (bool): Whether what comes before is left out.
        end (Fraction | None): Seconds after ``zero`` at which it ends.
    """

    zero: Fraction
    is_cut: bool
    end: Fraction | None


class CopiedStreams:
    """The streams of a video file that are no video, for another file.

    A context manager. Audio and subtitles are copied packet by packet, with their
    language, title and disposition; so are attachments, such as the fonts of subtitles.

    Args:
        path (str | PathLike): A local video file.
        format (str): FFmpeg's name of the container that they are copied to.

    Attributes:
        unfit (list[str]): Names those that this container cannot hold.
        tick (Fraction): Unit of the video's timestamps in seconds.
    """

    def __init__(self, path: str | os.PathLike, format: str) -> None:
        self._path = path
        self._file = open(path, 'rb')
        self._container = open_container(self._file)
        self.tick = self._container.streams.best('video').time_base
        streams = [s for s in self._container.streams if s.type in _COPIED]
        self._streams = [stream for stream in streams if _fits(stream, format)]
        self.unfit = [_describe(s) for s in streams if s not in self._streams]
        self._targets = {}

    def __enter__(self) -> 'CopiedStreams':
        return self

    def __exit__(self, *exc_info) -> None:
        self._container.close()
        self._file.close()

    def add_to(self, container: av.container.OutputContainer, window: Window) -> None:
        """Add the streams, the chapters and the tags of the whole file."""
        for stream in self._streams:
            target = container.add_stream_from_template(stream, opaque=True)
            target.disposition = stream.disposition
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
        chapters = (_move_chapter(c, window) for c in self._container.chapters())
        container.set_chapters([chapter for chapter in chapters if chapter])

    def packets(self, window: Window) -> Iterator[av.Packet]:
        """Give the packets of that part, with the times and the streams to write.

        A damaged file ends early; the log then says so.
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
                if _move(packet, window, source.type == 'subtitle'):
                    packet.stream = self._targets[source.index]
                    yield packet
        except av.FFmpegError as error:
            print_log(
                f'sound and subtitles of {self._path} are copied up to a place that '
                f'cannot be read ({error.strerror})',
                logger='current',
                level=logging.WARNING,
            )


def _fits(stream: av.stream.Stream, format: str) -> bool:
    """Try whether a container takes a stream."""
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
    """MP4 has empty texts between subtitles; FFmpeg writes them by itself."""
    return packet.stream.name == 'mov_text' and bytes(packet) == bytes(2)


def _fill_duration(packet: av.Packet, last: int | None) -> None:
    """Take that of the packet before, lest MP4 cuts the last one off."""
    if not packet.duration and None not in (packet.pts, last):
        packet.duration = packet.pts - last


def _move(packet: av.Packet, window: Window, is_subtitle: bool) -> bool:
    """Move a packet to where the window begins; tell whether it lies inside.

    Of subtitles that are shown at its edges, the part inside is kept.
    """
    begin = packet.pts if packet.pts is not None else packet.dts
    if begin is None:
        return False
    unit = packet.time_base
    shift = round(window.zero / unit)
    begin -= shift
    stop = begin + (packet.duration or 0)
    packet.pts = begin
    packet.dts = None if packet.dts is None else packet.dts - shift
    end = None if window.end is None else round(window.end / unit)
    if is_subtitle and stop > begin:
        first = max(begin, 0) if window.is_cut else begin
        last = stop if end is None else min(stop, end)
        packet.pts = packet.dts = first
        packet.duration = last - first
        return first < last
    return (not window.is_cut or begin >= 0) and (end is None or begin < end)


def _move_chapter(chapter: dict, window: Window) -> dict | None:
    """Cut a chapter to the window; None if it lies outside."""
    unit = chapter['time_base']
    shift = round(window.zero / unit)
    begin = max(chapter['start'] - shift, 0)
    stop = chapter['end'] - shift
    if window.end is not None:
        stop = min(stop, round(window.end / unit))
    return {**chapter, 'start': begin, 'end': stop} if begin < stop else None
