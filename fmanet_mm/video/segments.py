"""Encoded frames in closed files, which are joined into a video file."""

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import av

from .encoding import Encoding
from .spans import Span
from .work_folder import WorkFolder

NUM_FRAMES = 50
"""Frames of a segment, the most that are lost when a run is killed.

Segments end where the number of frames is a multiple of it, so that they are the same
whatever part of a clip a process writes.
"""

_UNTIMED_FRAMES = 2
"""With no more frames, libx265 gives them random decoding times.

It looks for the times' delay in the third one. Joining computes all of them again.
"""

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
    """

    def __init__(self, folder: WorkFolder, length: int | None = NUM_FRAMES) -> None:
        self._folder = folder
        self._length = length
        self._closed: list[Segment] = []
        self._next = 0
        self._container = None

    @property
    def num_frames(self) -> int:
        """Frames in closed segments."""
        return sum(segment.stop - segment.first for segment in self._closed)

    @property
    def spans(self) -> list[Span]:
        """Frames in closed segments, in order."""
        segments = sorted(self._closed, key=_first)
        return [Span(segment.first, segment.stop) for segment in segments]

    def adopt(self) -> int:
        """Adopt the segments in the folder; return their number of frames.

        A segment begins where the one before it ends, or at a multiple of the length;
        others are of no use.
        """
        found = map(Segment.of, self._folder.path.glob('*-*.segment'))
        longest = {segment.first: segment for segment in sorted(found, key=_stop)}
        self._closed = []
        stop = 0
        for first, segment in sorted(longest.items()):
            follows = first == stop or (first > stop and first % NUM_FRAMES == 0)
            if follows and segment.stop <= first - first % NUM_FRAMES + NUM_FRAMES:
                self._closed.append(segment)
                stop = segment.stop
        return self.num_frames

    def seek(self, number: int) -> None:
        """Let the frame of a number be written next."""
        self.close()
        self._next = number

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
        if self._length and (self._next + self._num_open) % self._length == 0:
            self.close()

    def close(self) -> None:
        """Close the open segment, if there is one, so that it is kept.

        It is abandoned if an error occurred within a frame.
        """
        if self._container is None or not self._is_intact:
            self.abandon()
            return
        self._is_intact = False
        self._container.mux(self._flush())
        self._container.close()
        self._container = None
        stop = self._next + self._num_open
        name = f'{self._next:08d}-{stop:08d}.segment'
        self._folder.publish(self._draft, name)
        self._closed.append(Segment.of(self._folder.path / name))
        self._next = stop

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
        """Give the packets of the segments for a stream of another file.

        The segments are those from the first frame on, up to a gap. They keep
        presentation times. Decoding times are computed here, across the joints too:
        they are the sorted presentation times, delayed by the reordering of frames.

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
        chain = self._chain()
        first = min(map(_time, chain[0].packets()))
        return first, max(map(_time, chain[-1].packets()))

    def _open(self, encoding: Encoding) -> None:
        self._draft = self._folder.draft
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

    def _flush(self) -> list[av.Packet]:
        """The packets that the encoder still holds."""
        packets = self._stream.encode()
        if self._num_open <= _UNTIMED_FRAMES:
            for packet in packets:
                packet.dts = packet.pts
        return packets

    def _chain(self) -> list[Segment]:
        """The segments from the first frame on, up to a gap."""
        chain: list[Segment] = []
        for segment in sorted(self._closed, key=_first):
            if segment.first == (chain[-1].stop if chain else 0):
                chain.append(segment)
        return chain

    def _packets(self) -> Iterator[av.Packet]:
        for segment in self._chain():
            yield from segment.packets()


_first = attrgetter('first')
_stop = attrgetter('stop')


def _time(packet: av.Packet) -> Fraction:
    return packet.pts * packet.time_base


def _to_ticks(packet: av.Packet, tick: Fraction) -> int:
    return round(_time(packet) / tick)


def _container_options(format: str, tick: Fraction) -> dict[str, str]:
    options = {'avoid_negative_ts': 'disabled'}
    if format == 'mov':
        options['movie_timescale'] = str(tick.denominator)
    return options
