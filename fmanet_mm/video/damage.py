"""Frames of a video file that are lost to damage."""

import logging
from fractions import Fraction
from os import PathLike

_LOGGER = logging.getLogger('fmanet_mm')
_MAX_LISTED = 12
"""Most times in a message."""


class DamageLog:
    """What could not be decoded of a video file.

    Damage costs the frames that it costs if intact frames follow; else the video ends
    with it.

    Args:
        path (str | PathLike): The video file, for messages.
        stop (bool): Whether the first damage ends the video.

    Attributes:
        is_over (bool): Whether no more frames are to be decoded.
        restarts (list[Fraction]): Timestamps at which the clock restarted.
    """

    def __init__(self, path: str | PathLike, stop: bool) -> None:
        self.is_over = False
        self._path = path
        self._stop = stop
        self._lost: list[tuple[Fraction | None, str]] = []
        self._jumps: list[Fraction] = []
        self.restarts: list[Fraction] = []

    def add(self, time: Fraction | None, reason: str, is_last: bool = False) -> None:
        """Note a frame that is lost.

        Args:
            time (Fraction, optional): Its timestamp in seconds, if that is known.
            reason (str): What is wrong with it.
            is_last (bool): Whether nothing after it can be read.
        """
        self._lost.append((time, reason))
        self.is_over = self.is_over or is_last or self._stop

    def add_jump(self, time: Fraction | None) -> None:
        """Note that packets are missing before a time; frames may be, too."""
        if time is not None:
            self._jumps.append(time)

    def last_reason(self, last: Fraction | None) -> str | None:
        """Why the video ends early.

        Args:
            last (Fraction, optional): Timestamp of the last intact frame.

        Returns:
            str | None: A reason; None if intact frames follow all damage.
        """
        if not self._lost:
            return None
        time, reason = self._lost[-1]
        return None if self._is_passed(time, last) and not self.is_over else reason

    def report(self, origin: Fraction, last: Fraction | None) -> None:
        """Log the frames that are lost before the last intact one.

        Args:
            origin (Fraction): Timestamp of the first frame of the video.
            last (Fraction, optional): Timestamp of the last intact frame.
        """
        passed = [time for time, _ in self._lost if self._is_passed(time, last)]
        if passed:
            reasons = dict.fromkeys(reason for _, reason in self._lost)
            _LOGGER.warning(
                '%s is damaged (%s): %d frames could not be decoded and are left out, '
                'at %s; the frame before each is shown longer, and everything else is '
                'kept (--stop-at-damage ends the video there)',
                self._path,
                ', '.join(reasons),
                len(passed),
                _list_times(passed, origin),
            )
        if self._jumps:
            _LOGGER.warning(
                '%s lacks data, its packet counters jump at %s; all frames that can be '
                'decoded are kept',
                self._path,
                _list_times(self._jumps, origin),
            )

        if self.restarts:
            _LOGGER.warning(
                'the clock of %s restarts at %s; the parts are put behind each other, '
                'with their audio',
                self._path,
                _list_times(self.restarts, origin),
            )

    @staticmethod
    def _is_passed(time: Fraction | None, last: Fraction | None) -> bool:
        return last is not None and (time is None or time < last)


def _list_times(times: list[Fraction | None], origin: Fraction) -> str:
    known = sorted({time for time in times if time is not None})
    listed = [f'{float(time - origin):.2f} s' for time in known[:_MAX_LISTED]]
    if len(known) > _MAX_LISTED:
        listed.append(f'... {float(known[-1] - origin):.2f} s')
    return ', '.join(listed) or 'an unknown time'
