"""Interlaced video: two fields of different times in each frame."""

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from os import PathLike
from typing import TypeVar

import av
from av.filter import Graph

_LOGGER = logging.getLogger('fmanet_mm')
_FILTER = 'mode=send_frame:parity=auto:deint=interlaced'
"""bwdif: a frame for a frame, and only those that are marked as interlaced."""

T = TypeVar('T')


def deinterlace(
    frames: Iterable[tuple[av.VideoFrame, T]], path: str | PathLike
) -> Iterator[tuple[av.VideoFrame, T]]:
    """Deinterlace the frames that are marked as interlaced.

    Args:
        frames (Iterable[tuple[VideoFrame, T]]): Decoded frames, each with something
            that is passed on with it.
        path (str | PathLike): The video file, for a message.

    Yields:
        tuple[VideoFrame, T]: As many frames in the same order.
    """
    graph = None
    for frame, extra in frames:
        if graph is None and frame.interlaced_frame:
            _LOGGER.warning(
                '%s is interlaced: each frame is deinterlaced by bwdif, at the same '
                'frame rate (--deinterlace off leaves it as it is)',
                path,
            )
        if graph is not None and not graph.fits(frame):
            yield from graph.flush()
            graph = None
        if graph is None and frame.interlaced_frame:
            graph = _Deinterlacer(frame)
        if graph is None:
            yield frame, extra
        else:
            yield from graph.feed(frame, extra)
    if graph is not None:
        yield from graph.flush()


class _Deinterlacer:
    """A filter graph for frames of one kind."""

    def __init__(self, frame: av.VideoFrame) -> None:
        self._kind = _kind(frame)
        self._extras = deque()
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base,
        )
        sink = self._graph.add('buffersink')
        bwdif = self._graph.add('bwdif', _FILTER)
        source.link_to(bwdif)
        bwdif.link_to(sink)
        self._graph.configure()

    def fits(self, frame: av.VideoFrame) -> bool:
        return _kind(frame) == self._kind

    def feed(self, frame: av.VideoFrame, extra: T) -> Iterator:
        self._extras.append(extra)
        self._graph.push(frame)
        yield from self._pull()

    def flush(self) -> Iterator:
        self._graph.push(None)
        yield from self._pull()

    def _pull(self) -> Iterator:
        """Give what is finished; the filter is a frame late."""
        while self._extras:
            try:
                frame = self._graph.pull()
            except (av.FFmpegError, BlockingIOError):
                return  # It needs another frame, or is at its end.
            yield frame, self._extras.popleft()


def _kind(frame: av.VideoFrame) -> tuple:
    return frame.width, frame.height, frame.format.name
