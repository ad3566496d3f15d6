"""Processes on this computer that share the jobs of a command, one for each device."""

import argparse
import logging
import multiprocessing
import secrets
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from ..utils.names import print_any_name
from ..video.spans import Part
from .jobs import Job, Task
from .reports import JsonReport, Outcome, TextReport
from .run import FAILED, INTERRUPTED, explain, load_restorer, run_job, used_memory

_LOGGER = logging.getLogger('fmanet_mm')


class NotUsableError(ValueError):
    """A process cannot use the network."""


class _Worker:
    """A process, as its parent sees it.

    Args:
        args (argparse.Namespace): Options.
        device (str): Its device.
        num_sharing (int): Number of processes on this device.
    """

    def __init__(self, args: argparse.Namespace, device: str, num_sharing: int) -> None:
        self.device = device
        self.task: Task | None = None
        self.memory = 0.0
        context = multiprocessing.get_context('spawn')
        self.connection, theirs = context.Pipe()
        own = argparse.Namespace(**{**vars(args), 'device': device})
        self.process = context.Process(
            target=serve, args=(theirs, own, num_sharing), daemon=True
        )
        self.process.start()
        theirs.close()

    def begin(self, task: Task) -> None:
        """Let it run a task."""
        self.task = task
        self._send(task)

    def interrupt(self) -> None:
        """Let it end its task after the frame it is at."""
        self._send(None)

    def end(self) -> None:
        """Let it end, at once if it is busy."""
        if self.task is not None:
            self.process.kill()
        self.connection.close()
        self.process.join()

    def describe_end(self) -> str:
        """Why the process has ended, although it was not asked to."""
        self.process.join()
        return (
            f'the process of {self.device} has ended with exit code '
            f'{self.process.exitcode}; if that is -9, the system has killed it, maybe '
            'for want of memory'
        )

    def _send(self, message: Task | None) -> None:
        with suppress(OSError):  # If it has ended, receiving notes that.
            self.connection.send(message)


class Team:
    """One process for each device; a context manager that starts and ends them.

    If there are at least as many jobs as processes, each job is done by one process;
    else each process restores a part of each job.

    Args:
        args (argparse.Namespace): Options, see
            :func:`~fmanet_mm.cli.arguments.parse_args`.
        devices (Sequence[str]): A device for each process.

    Attributes:
        is_interrupted (bool): Whether an interrupt has ended a run.

    Raises:
        NotUsableError: When the block begins, if a process cannot use the network.
    """

    def __init__(self, args: argparse.Namespace, devices: Sequence[str]) -> None:
        self.is_interrupted = False
        self._args = args
        self._devices = devices
        self._workers: list[_Worker] = []
        self._logged: set[str] = set()

    def __enter__(self) -> 'Team':
        try:
            with _without_interrupts():
                for device in self._devices:
                    num_sharing = self._devices.count(device)
                    self._workers.append(_Worker(self._args, device, num_sharing))
            for worker in self._workers:
                self._await_ready(worker)
        except BaseException:
            for worker in self._workers:
                worker.process.kill()
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info) -> None:
        for worker in self._workers:
            worker.end()

    def used_memory(self) -> float:
        """Memory in use by all processes, in GiB."""
        return sum(worker.memory for worker in self._workers)

    def run(
        self, jobs: Sequence[Job], report: TextReport | JsonReport
    ) -> Iterator[Outcome]:
        """Run jobs.

        Args:
            jobs (Sequence[Job]): The jobs.
            report (TextReport | JsonReport): Is given the progress.

        Yields:
            Outcome: How each job ended, in the order in which they end.
        """
        if len(jobs) >= len(self._workers):
            yield from self._share([Task(job) for job in jobs], report)
            return
        for job in jobs:
            count, run = max(1, len(self._workers)), secrets.token_hex(8)
            tasks = [Task(job, Part(index, count, run)) for index in range(count)]
            yield _merge(list(self._share(tasks, report)))
            if self.is_interrupted:
                return

    def _share(
        self, tasks: Sequence[Task], report: TextReport | JsonReport
    ) -> Iterator[Outcome]:
        """Run tasks, and give the outcome of each as it ends.

        After an interrupt no further task begins and those that run are interrupted;
        after a second one their processes are killed. If a part fails, so do all.
        """
        waiting, progress = deque(tasks), _Progress(tasks, report)
        while waiting or self._busy:
            try:
                for worker in self._workers:
                    if waiting and worker.task is None:
                        worker.begin(waiting.popleft())
                if not self._workers:
                    yield _no_process_left(waiting.popleft())
                    continue
                by_connection = {worker.connection: worker for worker in self._busy}
                for connection in wait(list(by_connection)):
                    outcome = self._receive(by_connection[connection], progress)
                    if outcome is None:
                        continue
                    yield outcome
                    if outcome.exit_code and tasks[0].part is not None:
                        waiting.clear()
                        self._interrupt()
            except KeyboardInterrupt:
                waiting.clear()
                if self.is_interrupted:
                    for worker in self._busy:
                        worker.process.kill()
                self.is_interrupted = True
                self._interrupt()

    @property
    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _interrupt(self) -> None:
        for worker in self._busy:
            worker.interrupt()

    def _await_ready(self, worker: _Worker) -> None:
        try:
            while True:
                kind, content = worker.connection.recv()
                if kind == 'ready':
                    return
                if kind == 'unusable':
                    raise NotUsableError(content)
                self._log(*content)
        except (EOFError, OSError) as error:
            raise NotUsableError(worker.describe_end()) from error

    def _receive(self, worker: _Worker, progress: '_Progress') -> Outcome | None:
        """Take a message of a process; give the outcome if that is what it is."""
        task = worker.task
        assert task is not None
        try:
            kind, content = worker.connection.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            progress.end(task)
            return _failed(task.job, worker.describe_end())
        if kind == 'outcome':
            worker.task = None
            progress.end(task)
            return content
        if kind == 'progress':
            *numbers, worker.memory = content
            progress.note(task, *numbers)
        else:
            self._log(*content)
        return None

    def _log(self, level: int, text: str) -> None:
        """Log what a process has logged, once if several say the same."""
        if text not in self._logged:
            self._logged.add(text)
            _LOGGER.log(level, '%s', text)


class _Progress:
    """Sums the progress of the parts of a job."""

    def __init__(self, tasks: Sequence[Task], report: TextReport | JsonReport) -> None:
        self._report = report
        self._numbers: dict[Job, dict[int, tuple[int, int | None] | None]] = {}
        for task in tasks:
            self._numbers.setdefault(task.job, {})[task.index] = None

    def note(self, task: Task, done: int, total: int | None) -> None:
        """Note how far a task is; reported once all parts have begun."""
        numbers = self._numbers[task.job]
        numbers[task.index] = done, total
        begun = [pair for pair in numbers.values() if pair is not None]
        if len(begun) < len(numbers):
            return
        totals = [total for _, total in begun if total is not None]
        self._report.progress(
            task.job,
            sum(done for done, _ in begun),
            sum(totals) if len(totals) == len(begun) else None,
        )

    def end(self, task: Task) -> None:
        """Note that a task has ended, maybe without having begun."""
        numbers = self._numbers[task.job]
        numbers[task.index] = numbers[task.index] or (0, 0)


def serve(connection: Connection, args: argparse.Namespace, num_sharing: int) -> None:
    """Run the tasks of a parent; the function of its processes.

    Args:
        connection (Connection): Gives tasks, and None to interrupt one. What is sent
            is a pair of kind and content: ``ready``, ``unusable`` with a message,
            ``progress`` with the number of frames, that of all and GiB of memory,
            ``log`` with level and text, or ``outcome``.
        args (argparse.Namespace): Options, with the device of the process.
        num_sharing (int): Number of processes on this device.
    """
    service = _Service(connection, args)
    # The parent has Ctrl-C, or a closed terminal, and passes it on.
    for name in ('SIGINT', 'SIGHUP'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, service.stop)
    print_any_name()
    _LOGGER.addHandler(service)
    with redirect_stdout(sys.stderr), suppress(EOFError, OSError):
        service.run(num_sharing)


class _Service(logging.Handler):
    """A process's side of the connection; as a handler it passes the log on."""

    def __init__(self, connection: Connection, args: argparse.Namespace) -> None:
        super().__init__()
        self._connection = connection
        self._args = args
        self._sending = threading.Lock()
        self._is_busy = self._is_stopped = False

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message of the log on."""
        with suppress(OSError):
            self._send('log', (record.levelno, record.getMessage()))

    def stop(self, *_) -> None:
        """End after the frame that is computed, or at once if there is none."""
        self._is_stopped = True
        if not self._is_busy:
            sys.exit(128 + signal.SIGTERM)

    def run(self, num_sharing: int) -> None:
        """Load the network, then run tasks until the parent closes the connection."""
        try:
            restorer = load_restorer(self._args)
            _share_processors(restorer.restorer.device.type, num_sharing)
        except Exception as error:
            self._send('unusable', explain(error, self._args))
            return
        self._send('ready', None)
        while not self._is_stopped:
            task = self._connection.recv()
            if task is None:
                continue  # The task to interrupt had just ended.
            self._is_busy = True
            outcome = run_job(task, self._args, restorer, self._note)
            self._send('outcome', outcome)
            self._is_busy = False

    def _note(self, done: int, total: int | None) -> None:
        """Send the progress, and raise a KeyboardInterrupt if one has come."""
        self._send('progress', (done, total, used_memory()))
        while self._connection.poll():
            if self._connection.recv() is None:
                raise KeyboardInterrupt
        if self._is_stopped:
            raise KeyboardInterrupt

    def _send(self, kind: str, content: Any) -> None:
        with self._sending:
            self._connection.send((kind, content))


def _share_processors(device_type: str, num_sharing: int) -> None:
    """Divide the threads of a computation among the processes of the CPU."""
    import torch

    if device_type == 'cpu':
        torch.set_num_threads(max(1, torch.get_num_threads() // num_sharing))


def _merge(outcomes: Sequence[Outcome]) -> Outcome:
    """How a job ended, by the outcomes of its parts."""
    for outcome in outcomes:
        if outcome.part is None and outcome.output == outcome.job.dst:
            return outcome
    first = max(outcomes, key=lambda outcome: _PRECEDENCE.index(outcome.exit_code))
    if first.exit_code == 0:
        return _failed(first.job, 'its parts do not make a complete output')
    done = sum(outcome.num_frames or 0 for outcome in outcomes)
    return first._replace(num_frames=done)


_PRECEDENCE = (0, INTERRUPTED, FAILED)
"""Exit codes of parts; the last of those there are is that of the job."""


def _no_process_left(task: Task) -> Outcome:
    return _failed(task.job, 'no process is left that could restore it')


def _failed(job: Job, reason: str) -> Outcome:
    """The outcome of a job whose process cannot give it."""
    messages = [f'{job.src}: {reason}', *job.describe_kept()]
    return Outcome(job, output=job.kept(), error='; '.join(messages), exit_code=FAILED)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Let processes that are started in the block ignore Ctrl-C from the beginning."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
