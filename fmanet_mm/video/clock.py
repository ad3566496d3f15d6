"""Clocks of recordings that restart."""

from fractions import Fraction

import av
from av.format import Flags

MAX_GAP = 10
"""Seconds between two packets; more is a clock that restarted."""
MAX_STEP_BACK = Fraction(1, 10)
"""Seconds that a packet may be earlier than expected, for the same reason."""


class ContinuousClock:
    """Moves the parts of a stream whose clock restarts behind each other.

    Recordings of broadcasts that are joined byte by byte restart their clock at the
    joint. As FFmpeg's own tool does, all later packets are moved by what the first one
    differs from the time that was expected. Two readers of the same file that feed all
    packets of audio and video get the same times.

    Args:
        container (InputContainer): The file.

    Attributes:
        enabled (bool): Whether the clock of its format may jump.
        restarts (list[Fraction]): Times at which it did.
    """

    def __init__(self, container: av.container.InputContainer) -> None:
        self.enabled = bool(container.format.flags & Flags.ts_discont.value)
        self.restarts = []
        self._container = container
        self._offset = Fraction(0)
        self._expected: dict[int, Fraction] = {}

    def streams(self, *wanted: av.stream.Stream) -> list[av.stream.Stream]:
        """The streams that must be read to keep the clock while some are wanted."""
        timed = ('audio', 'video') if self.enabled else ()
        return [s for s in self._container.streams if s in wanted or s.type in timed]

    def correct(self, packet: av.Packet) -> None:
        """Move a packet; packets come in the order of the file."""
        ticks = packet.pts if packet.dts is None else packet.dts
        if not self.enabled or ticks is None:
            return
        unit = packet.time_base
        if packet.stream.type in ('audio', 'video'):
            time = ticks * unit + self._offset
            expected = self._expected.get(packet.stream_index, time)
            if not -MAX_STEP_BACK <= time - expected <= MAX_GAP:
                self._offset += expected - time
                self.restarts.append(expected)
                time = expected
            self._expected[packet.stream_index] = time + (packet.duration or 0) * unit
        shift = round(self._offset / unit)
        if packet.pts is not None:
            packet.pts += shift
        if packet.dts is not None:
            packet.dts += shift
