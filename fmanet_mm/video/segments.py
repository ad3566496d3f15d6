"""Encoded frames in closed files, which are joined into a video file."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import av

from .encoding import Encoding
from .work_folder import DRAFT, WorkFolder

NUM_FRAMES = 50
"""Frames of a segment, the most that are lost when a run is killed."""

_FORMATS = ('nut', 'mov')
"""NUT keeps any timestamp; MOV is the fallback for codecs NUT lacks."""


class Segment(NamedTuple):
    """A closed file of encoded frames that can be decoded without other segments.

    Attributes:
        path (Path): The file. Its name consists of ``first`` and ``stop``.
        first (int): Number of its first frame.
        stop (int): Number of the first frame after it.
    """

    path: Path
    first: int
    stop: int

    @classmethod
    def of(cls, path: Path) -> 'Segment':
        """Parse the numbers in the name of a file."""
        first, stop = path.stem.split('-')
        return cls(path, int(first), int(stop))

    def packets(self) -> Iterator[av.Packet]:
        """Give the encoded frames in decoding order."""
        with av.open(str(self.path)) as container:
            yield from (p for p in container.demux(video=0) if p.size)


class Segments:
    """Writes segments into a work folder, and joins them.

    Args:
        folder (WorkFolder): The work folder.
        length (int, optional): Frames of a segment; None puts all into one.

    Attributes:
        num_frames (int): Frames in closed segments.
    """

    def __init__(self, folder: WorkFolder, length: int | None = NUM_FRAMES) -> None:
        self.num_frames = 0
        self._folder = folder
        self._length = length
        self._closed: list[Segment] = []
        self._container = None

    def adopt(self) -> int:
        """Adopt the segments of an earlier run; return their number of frames."""
        found = {}
        for path in self._folder.path.glob('*-*.segment'):
            segment = Segment.of(path)
            found[segment.first] = segment
        self._closed = []
        self.num_frames = 0
        while self.num_frames in found:
            self._append(found[self.num_frames])
        return self.num_frames

    def describe(self) -> tuple[int, int, str, Fraction]:
        """Return height, width, pixel format and last time of the adopted frames."""
        last = self._closed[-1]
        with av.open(str(last.path)) as container:
            context = container.streams.video[0].codec_context
            height, width, name = context.height, context.width, context.pix_fmt
        return height, width, name, max(map(_time, last.packets()))

    def write(self, picture: av.VideoFrame, encoding: Encoding) -> None:
        """Add a frame, and close the segment if it is full.

        Args:
            picture (VideoFrame): In the pixel format of the encoding, with its time.
            encoding (Encoding): The same for all frames.
        """
        if self._container is None:
            self._open(encoding)
        self._is_intact = False
        self._container.mux(self._stream.encode(picture))
        self._num_open += 1
        self._is_intact = True
        if self._num_open == self._length:
            self.close()

    def close(self) -> None:
        """Close the open segment, if there is one, so that it is kept.

        It is abandoned if an error occurred within a frame.
        """
        if self._container is None or not self._is_intact:
            self.abandon()
            return
        self._is_intact = False
        self._container.mux(self._stream.encode())
        self._container.close()
        self._container = None
        stop = self.num_frames + self._num_open
        name = f'{self.num_frames:08d}-{stop:08d}.segment'
        self._folder.publish(self._draft, name)
        self._append(Segment.of(self._folder.path / name))

    def abandon(self) -> None:
        """Abandon the open segment, if there is one."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except av.FFmpegError:
                return  # Its end cannot be written, but it is not needed either.

    def join(
        self,
        stream: av.VideoStream,
        tick: Fraction,
        last_duration: Fraction,
        begin: int = 0,
    ) -> Iterator[av.Packet]:
        """Give the packets of all segments for a stream of another file.

        Segments keep presentation times. Decoding times are computed here, across the
        joints too: they are the sorted presentation times, delayed by the reordering of
        frames.

        Args:
            stream (VideoStream): The stream.
            tick (Fraction): Unit of its timestamps in seconds.
            last_duration (Fraction): Seconds for which the last frame is shown.
            begin (int): Time of the first frame shown, in ticks.

        Yields:
            Packet: In decoding order.
        """
        times = [_to_ticks(packet, tick) for packet in self._packets()]
        shown = sorted(times)
        ranks = {time: rank for rank, time in enumerate(shown)}
        delay = max(index - ranks[time] for index, time in enumerate(times))
        lead = shown[delay] - shown[0]
        decoded = [time - lead for time in shown[:delay]] + shown[: len(shown) - delay]
        durations = {time: after - time for time, after in pairwise(shown)}
        held = max(1, round(last_duration / tick))
        durations[shown[-1]] = held
        # MP4 ends with the frame that is decoded last, though it is not shown last.
        length = shown[-1] + held - shown[0]
        durations[times[-1]] = length - (decoded[-1] - decoded[0])
        zero = shown[0] - begin
        for packet, time, dts in zip(self._packets(), times, decoded, strict=True):
            packet.stream = stream
            packet.time_base = tick
            packet.pts = time - zero
            packet.dts = dts - zero
            packet.duration = durations[time]
            yield packet

    def times(self) -> tuple[Fraction, Fraction]:
        """Return the times of the first and the last frame in seconds."""
        first = min(map(_time, self._closed[0].packets()))
        return first, max(map(_time, self._closed[-1].packets()))

    def _open(self, encoding: Encoding) -> None:
        self._draft = self._folder.path / DRAFT
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
        self._is_intact = True

    def _packets(self) -> Iterator[av.Packet]:
        for segment in self._closed:
            yield from segment.packets()

    def _append(self, segment: Segment) -> None:
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
