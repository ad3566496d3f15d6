"""What a run tells people, and what it tells machines."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from .jobs import Job

JSON_INTERVAL = 1.0
"""Fewest seconds from one line about progress to the next."""
LOG_INTERVAL = 60.0
"""The same for people, where there is no terminal to draw a bar on."""


class Outcome(NamedTuple):
    """How a job ended.

    Attributes:
        job (Job): The job.
        num_frames (int | None): Frames that are done; None if they were before.
        output (Path | None): What there is: the output, what is kept of it to go on
            with, or nothing.
        page (Path | None): The page that compares input and output.
        error (str | None): What went wrong, in one line.
        exit_code (int): What the process is to say of it.
    """

    job: Job
    num_frames: int | None = None
    output: Path | None = None
    page: Path | None = None
    error: str | None = None
    exit_code: int = 0


class TextReport:
    """A progress bar, in a log a line now and then, and a line for each result.

    Args:
        used_memory (Callable): Gives the memory in use, in GiB.
    """

    def __init__(self, used_memory: Callable[[], float]) -> None:
        self._used_memory = used_memory
        self._bar = None
        self._began = None
        self._told = 0.0
        self._out = sys.stdout

    def progress(self, job: Job, done: int, total: int | None) -> None:
        """Tell how far a job is.

        Args:
            job (Job): The job.
            done (int): Frames that are written; when it is first called, those of an
                earlier run.
            total (int, optional): Frames of the video, if that is known.
        """
        if sys.stderr.isatty():
            self._draw(job, done, total)
        else:
            self._log(job, done, total)

    def end(self, outcome: Outcome) -> None:
        """Tell how a job ended."""
        self._began = None
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if outcome.error is not None:
            self.error(outcome.error)

    def error(self, message: str) -> None:
        """Tell what went wrong."""
        print(f'fmanet-restore: {message}', file=sys.stderr)

    def summary(self, outcomes: list[Outcome]) -> None:
        """Tell once more what there is now."""
        for outcome in outcomes:
            parts = [f'{outcome.job.src} -> {outcome.output or "nothing"}']
            if outcome.num_frames is not None:
                parts.append(f'{outcome.num_frames} frames')
            if outcome.error is not None:
                parts.append('not complete')
            if outcome.page is not None:
                parts.append(f'compared in {outcome.page}')
            print(*parts, sep=', ', file=self._out)

    def _draw(self, job: Job, done: int, total: int | None) -> None:
        if self._bar is None:
            self._bar = tqdm(
                desc=job.src.name,
                total=total,
                initial=done,
                unit='frame',
                dynamic_ncols=True,
            )
        self._bar.set_postfix_str(self._memory(), refresh=False)
        self._bar.update(done - self._bar.n)

    def _log(self, job: Job, done: int, total: int | None) -> None:
        now = time.monotonic()
        if self._began is None:
            self._began, self._told = (now, done), now
        if now - self._told < LOG_INTERVAL:
            return
        self._told = now
        began, first = self._began
        line = tqdm.format_meter(
            done,
            total,
            now - began,
            prefix=job.src.name,
            unit='frame',
            postfix=self._memory(),
            initial=first,
        )
        print(line, file=sys.stderr, flush=True)

    def _memory(self) -> str:
        return f'{self._used_memory():.1f} GiB'


class JsonReport:
    """One JSON object a line on standard output.

    They have an ``event``: ``progress`` with the ``input``, ``frames`` done, ``total``
    (null if that is not known), frames a second ``fps`` and ``seconds_left`` (null as
    long as they are not known) and ``memory_gib``; ``done`` with ``input``, ``output``,
    ``frames`` and ``compare``; ``error`` with the same and the ``message``, its
    ``output`` being what is there all the same, or null.

    Args:
        used_memory (Callable): Gives the memory in use, in GiB.
    """

    def __init__(self, used_memory: Callable[[], float]) -> None:
        self._used_memory = used_memory
        self._out = sys.stdout
        self._began = None
        self._told = 0.0

    def progress(self, job: Job, done: int, total: int | None) -> None:
        """Tell how far a job is, once a second and at its end."""
        now = time.monotonic()
        if self._began is None:
            self._began = now, done
        elif done != total and now - self._told < JSON_INTERVAL:
            return
        self._told = now
        began, first = self._began
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
        """Tell how a job ended."""
        self._began = None
        result = dict(
            input=str(outcome.job.src),
            output=outcome.output and str(outcome.output),
            frames=outcome.num_frames,
            compare=outcome.page and str(outcome.page),
        )
        if outcome.error is None:
            self._write(event='done', **result)
        else:
            self._write(event='error', **result, message=outcome.error)

    def error(self, message: str) -> None:
        """Tell what went wrong with all of it."""
        self._write(event='error', message=message)

    def summary(self, outcomes: list[Outcome]) -> None:
        """Nothing that was not told."""

    def _write(self, **values) -> None:
        print(json.dumps(values), file=self._out, flush=True)
