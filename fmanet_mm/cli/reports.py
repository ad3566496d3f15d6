"""Progress and results as text or as JSON lines."""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TextIO

from ..video.spans import Part
from .jobs import Job

JSON_INTERVAL = 1.0
"""Least seconds between two progress lines."""

LOG_INTERVAL = 60.0
"""The same in a text log, where there is no terminal to draw a bar on."""

DRAW_INTERVAL = 0.1
"""The same for redrawing the bar of a terminal."""


_ESCAPES = {
    code: f'\\x{code:02x}' for code in (*range(32), *range(127, 160)) if code != 13
}
"""How to show control characters, which names of files may hold; not that of bars."""


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        job (Job): The job.
        num_frames (int | None): Frames that were written; None if the output was
            complete before.
        output (Path | None): The output, or the partial one that was kept, or None.
        page (Path | None): The page that compares input and output.
        error (str | None): The error, in one line.
        exit_code (int): The exit code it asks for.
        part (Part | None): The part that this process has done, while other processes
            are at work on the output; None if it is complete or failed.
    """

    job: Job
    num_frames: int | None = None
    output: Path | None = None
    page: Path | None = None
    error: str | None = None
    exit_code: int = 0
    part: Part | None = None


class TextReport:
    """A progress bar, or a line a minute in a log, and a line for each result.

    Args:
        used_memory (Callable): Gives the memory in use, in GiB.
    """

    def __init__(self, used_memory: Callable[[], float]) -> None:
        self._used_memory = used_memory
        self._began: dict[Job, tuple[float, int]] = {}
        self._reported = 0.0
        self._bar_width = 0
        self._out = sys.stdout

    def progress(self, job: Job, done: int, total: int | None) -> None:
        """Report how far a job is; of several that run, the one that began first.

        Args:
            job (Job): The job.
            done (int): Frames that are written; in the first call, those of an earlier
                run.
            total (int, optional): Frames of the video, if that is known.
        """
        now = time.monotonic()
        on_terminal = sys.stderr.isatty()
        interval = DRAW_INTERVAL if on_terminal else LOG_INTERVAL
        if job not in self._began:
            self._began[job] = now, done
            if not on_terminal:
                self._reported = now
                return
        if job != next(iter(self._began)):
            return
        if now - self._reported < interval and not (on_terminal and done == total):
            return
        self._reported = now
        began, first = self._began[job]
        line = describe_progress(done, total, now - began, first)
        line = f'{job.src.name}: {line[:-1]}, {self._used_memory():.1f} GiB]'
        if on_terminal:
            self._draw(line)
        else:
            _print(line, sys.stderr)

    def end(self, outcome: Outcome) -> None:
        """Report how a job ended."""
        self._began.pop(outcome.job, None)
        if self._bar_width:
            _print('', sys.stderr)
            self._bar_width = 0
        if outcome.error is not None:
            self.error(outcome.error)
        elif outcome.part is not None:
            _print(
                f'{outcome.job.src}: part {outcome.part.index + 1} of '
                f'{outcome.part.count} is done, {outcome.num_frames or 0} frames; the '
                'process that ends last joins them',
                sys.stderr,
            )

    def error(self, message: str) -> None:
        """Report an error."""
        _print(f'fmanet-restore: {message}', sys.stderr)

    def summary(self, outcomes: list[Outcome]) -> None:
        """Print one summary line per job."""
        for outcome in outcomes:
            if outcome.part is not None:
                continue
            parts = [f'{outcome.job.src} -> {outcome.output or "nothing"}']
            if outcome.num_frames is not None:
                parts.append(f'{outcome.num_frames} frames')
            if outcome.error is not None:
                parts.append('not complete')
            if outcome.page is not None:
                parts.append(f'compared in {outcome.page}')
            _print(', '.join(parts), self._out)

    def _draw(self, line: str) -> None:
        """Draw a line over the one before, shortened to the terminal's width."""
        line = line[: shutil.get_terminal_size().columns - 1]
        padding = ' ' * (self._bar_width - len(line))
        _print(f'\r{line}{padding}', sys.stderr, end='')
        self._bar_width = len(line)


class JsonReport:
    """One JSON object a line on standard output.

    Each has an ``event``: ``progress`` with the ``input``, ``frames`` done, ``total``
    (null if unknown), frames per second ``fps`` and ``seconds_left`` (null while
    unknown) and ``memory_gib``; ``done`` with ``input``, ``output``, ``frames`` and
    ``compare``; ``part`` with the same if other processes are at work on the output,
    which is null; ``error`` with the same and the ``message``, its ``output`` being the
    partial one that was kept, or null.

    Args:
        used_memory (Callable): Gives the memory in use, in GiB.
    """

    def __init__(self, used_memory: Callable[[], float]) -> None:
        self._used_memory = used_memory
        self._out = sys.stdout
        self._began: dict[Job, tuple[float, int]] = {}
        self._reported: dict[Job, float] = {}

    def progress(self, job: Job, done: int, total: int | None) -> None:
        """Report how far a job is, once a second and at its end."""
        now = time.monotonic()
        if job not in self._began:
            self._began[job] = now, done
        elif done != total and now - self._reported[job] < JSON_INTERVAL:
            return
        self._reported[job] = now
        began, first = self._began[job]
        fps = (done - first) / (now - began) if done > first else None
        self._write(
            event='progress',
            input=str(job.src),
            frames=done,
            total=total,
            fps=fps and round(fps, 3),
            seconds_left=round((total - done) / fps, 1) if fps and total else None,
            memory_gib=round(self._used_memory(), 2),
        )

    def end(self, outcome: Outcome) -> None:
        """Report how a job ended."""
        self._began.pop(outcome.job, None)
        result = dict(
            input=str(outcome.job.src),
            output=outcome.output and str(outcome.output),
            frames=outcome.num_frames,
            compare=outcome.page and str(outcome.page),
        )
        if outcome.error is None:
            event = 'done' if outcome.part is None else 'part'
            self._write(event=event, **result)
        else:
            self._write(event='error', **result, message=outcome.error)

    def error(self, message: str) -> None:
        """Report an error of the complete run."""
        self._write(event='error', message=message)

    def summary(self, outcomes: list[Outcome]) -> None:
        """No-op: every event has been written."""

    def _write(self, **values) -> None:
        _print(json.dumps(values), self._out)


def describe_error(error: BaseException) -> str:
    """Describe an error in one line; one of the system without its number."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.filename is not None:
            text = f'{os.fsdecode(error.filename)} cannot be used: {text}'
    return ' '.join(text.split())


def describe_progress(
    done: int, total: int | None, elapsed: float, first: int = 0
) -> str:
    """Describe progress in one line.

    Args:
        done (int): Frames that are written.
        total (int, optional): Frames of the video, if that is known.
        elapsed (float): Seconds since the job began.
        first (int): Frames that were written before it began.

    Returns:
        str: Such as ``' 44% 40/90 [01:00<01:40,  2.00s/frame]'``.
    """
    speed = (done - first) / elapsed if elapsed > 0 and done > first else None
    left = (total - done) / speed if speed and total else None
    if speed is None:
        rate = '?frame/s'
    elif speed < 1:
        rate = f'{1 / speed:5.2f}s/frame'
    else:
        rate = f'{speed:5.2f}frame/s'
    if not total:
        return f'{done} frames [{_clock(elapsed)}, {rate}]'
    times = f'{_clock(elapsed)}<{"?" if left is None else _clock(left)}'
    return f'{done / total:4.0%} {done}/{total} [{times}, {rate}]'


def _print(text: str, stream: TextIO, end: str = '\n') -> None:
    """Print; that nobody reads it any more ends no run."""
    text = text.translate(_ESCAPES)
    with suppress(OSError, ValueError):
        print(text, end=end, file=stream, flush=True)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:' * (hours > 0) + f'{minutes:02}:{seconds:02}'
