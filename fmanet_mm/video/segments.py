"""Encoded frames in closed files, from which a video file is joined."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av

from .encoding import Encoding
from .work_folder import WorkFolder

NUM_FRAMES = 50
"""Frames of a segment, so many are lost at most when a run is killed."""

# They keep any timestamp; the second holds the few codecs that the first does not.
_FORMATS = ('nut', 'mov')


class Segment(NamedTuple):
    """A closed file of encoded frames; the first of them needs none before it.

    Attributes:
        path (Path): The file. Its name says which frames it holds.
        first (int): Number of its first frame.
        stop (int): Number of the first frame that it does not hold.
    """

    path: Path
    first: int
    stop: int

    @classmethod
    def of(cls, path: Path) -> 'Segment':
        """Read the numbers from the name of a file."""
        first, stop = path.stem.split('-')
        return cls(path, int(first), int(stop))

    def packets(self) -> Iterator[av.Packet]:
        """Give the encoded frames in the order in which they are decoded."""
        with av.open(str(self.path)) as container:
            yield from (p for p in container.demux(video=0) if p.size)


class Segments:
    """Writes segments into a work folder, and joins those that are there.

    Args:
        folder (WorkFolder): Where they are.
        length (int | None): Frames of a segment; None puts all into one.

    Attributes:
        num_frames (int): Frames in closed segments.
    """

    def __init__(self, folder: WorkFolder, length: int | None = NUM_FRAMES) -> None:
        self.num_frames = 0
        self._folder = folder
        self._length = length
        self._closed: list[Segment] = []
        self._container = None

    def find(self) -> int:
        """Take up those that are there, and tell how many frames they hold."""
        found = {}
        for path in self._folder.path.glob('*-*.segment'):
            segment = Segment.of(path)
            found[segment.first] = segment
        self._closed = []
        self.num_frames = 0
        while self.num_frames in found:
            self._admit(found[self.num_frames])
        return self.num_frames

    def describe(self) -> tuple[int, int, str, Fraction]:
        """Tell the height, width, pixel format and last time of what is there."""
        last = self._closed[-1]
        with av.open(str(last.path)) as container:
            context = container.streams.video[0].codec_context
            height, width, name = context.height, context.width, context.pix_fmt
        return height, width, name, max(map(_time, last.packets()))

    def write(self, picture: av.VideoFrame, encoding: Encoding) -> None:
        """Add a frame, and close the segment if it is the last one of it.

        Args:
            picture (VideoFrame): In the pixel format, with its time.
            encoding (Encoding): The same for all frames.
        """
        if self._container is None:
            self._open(encoding)
        self._is_whole = False
        self._container.mux(self._stream.encode(picture))
        self._num_open += 1
        self._is_whole = True
        if self._num_open == self._length:
            self.close()

    def close(self) -> None:
        """Close the segment that is open, if there is one, so that it is kept.

        One that an error left in the middle of a frame is given up.
        """
        if self._container is None or not self._is_whole:
            self.abandon()
            return
        self._is_whole = False
        self._container.mux(self._stream.encode())
        self._container.close()
        self._container = None
        stop = self.num_frames + self._num_open
        name = f'{self.num_frames:08d}-{stop:08d}.segment'
        self._folder.admit(self._draft, name)
        self._admit(Segment.of(self._folder.path / name))

    def abandon(self) -> None:
        """Give up the segment that is open, if there is one."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except av.FFmpegError:
                return  # Its end cannot be written, and is not needed.

    def join(self, stream: av.VideoStream, tick: Fraction) -> Iterator[av.Packet]:
        """Give the packets of all segments for a stream of another file.

        Segments keep times of presentation. Those of decoding are made here, for the
        joints too: the same times in order, late enough for frames that are decoded
        before they are shown.

        Args:
            stream (VideoStream): The stream.
            tick (Fraction): Unit of its timestamps in seconds.

        Yields:
            Packet: In the order of decoding. The first frame has the time 0.
        """
        times = [_to_ticks(packet, tick) for packet in self._packets()]
        shown = sorted(times)
        ranks = {time: rank for rank, time in enumerate(shown)}
        delay = max(index - ranks[time] for index, time in enumerate(times))
        lead = shown[delay] - shown[0]
        decoded = [time - lead for time in shown[:delay]] + shown[: len(shown) - delay]
        durations = {time: after - time for time, after in pairwise(shown)}
        for packet, time, dts in zip(self._packets(), times, decoded, strict=True):
            packet.stream = stream
            packet.time_base = tick
            packet.pts = time - shown[0]
            packet.dts = dts - shown[0]
            packet.duration = durations.get(time, 0)
            yield packet

    def times(self) -> tuple[Fraction, Fraction]:
        """Tell the times of the first and the last frame in seconds."""
        first = min(map(_time, self._closed[0].packets()))
        return first, max(map(_time, self._closed[-1].packets()))

    def _open(self, encoding: Encoding) -> None:
        self._draft = self._folder.path / 'draft'
        self._num_open = 0
        for format in _FORMATS:
            container = av.open(
                str(self._draft),
                'w',
                format=format,
                container_options=_container_options(format, encoding.tick),
            )
            if encoding.codec in container.supported_codecs:
                break
        self._stream = encoding.add_to(container)
        container.start_encoding()
        self._container = container
        self._is_whole = True

    def _packets(self) -> Iterator[av.Packet]:
        for segment in self._closed:
            yield from segment.packets()

    def _admit(self, segment: Segment) -> None:
        self._closed.append(segment)
        self.num_frames = segment.stop


def _time(packet: av.Packet) -> Fraction:
    return packet.pts * packet.time_base


def _to_ticks(packet: av.Packet, tick: Fraction) -> int:
    return round(_time(packet) / tick)


def _container_options(format: str, tick: Fraction) -> dict[str, str]:
    options = {'avoid_negative_ts': 'disabled'}
    if format == 'mov':
        options['movie_timescale'] = str(tick.denominator)
    return options
