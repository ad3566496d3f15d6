"""Running the jobs of a command line."""

import argparse
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from dataclasses import replace
from functools import partial

import psutil

from ..utils.ownership import InUseError
from ..utils.paths import find_config
from ..video.options import ReadOptions, Resume
from ..video.reader import FrameReader, open_frames
from ..video.spans import Part
from ..video.writer import open_writer
from .jobs import Job, Task
from .launch import Rank, device_of_rank, find_devices, find_rank
from .reports import JsonReport, Outcome, TextReport, describe_error

INTERRUPTED = 130
FAILED = 1
UNUSABLE = 2


def run_jobs(args: argparse.Namespace, jobs: list[Job]) -> int:
    """Run all jobs and report on them.

    Args:
        args (argparse.Namespace): Options, see
            :func:`~fmanet_mm.cli.arguments.parse_args`.
        jobs (list[Job]): The jobs.

    Returns:
        int: The exit code.
    """
    team = None

    def memory() -> float:
        return used_memory() if team is None else team.used_memory()

    report = (JsonReport if args.json else TextReport)(memory)
    outcomes = {}
    with _only_results_on_stdout(), _termination_as_interrupt(), ExitStack() as opened:
        try:
            _check_network(args)
            rank = find_rank(os.environ)
            tasks = _tasks_of(rank, jobs)
            for task in tasks:
                error = _open_error(task, args)
                if error is not None:
                    outcomes[task.job] = Outcome(
                        task.job, error=error, exit_code=FAILED
                    )
                    report.end(outcomes[task.job])
            tasks = [task for task in tasks if task.job not in outcomes]
            devices = find_devices(args.device)
            if not tasks:
                running = iter([])
            elif rank is None and len(devices) > 1:
                from .team import Team  # which imports this module

                team = opened.enter_context(Team(args, devices))
                running = team.run([task.job for task in tasks], report)
            else:
                progress = report.progress
                if rank is not None:
                    args.device = device_of_rank(args.device, rank)
                    if rank.index and not args.json:
                        progress = _show_nothing  # There is one terminal for all.
                running = _run_alone(tasks, args, load_restorer(args), progress)
        except (Exception, KeyboardInterrupt) as error:
            report.error(explain(error, args))
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else UNUSABLE
        for outcome in running:
            outcomes[outcome.job] = outcome
            report.end(outcome)
            if outcome.exit_code == INTERRUPTED and team is None:
                break
    report.summary([outcomes[job] for job in jobs if job in outcomes])
    codes = [outcome.exit_code for outcome in outcomes.values()]
    if team is not None and team.is_interrupted:
        codes.append(INTERRUPTED)
    return max(codes, default=0)


def _tasks_of(rank: Rank | None, jobs: list[Job]) -> list[Task]:
    """The jobs of this process, or the parts of them, if a launcher has started it."""
    if rank is None:
        return list(map(Task, jobs))
    if len(jobs) >= rank.count:
        return list(map(Task, jobs[rank.index :: rank.count]))
    return [Task(job, Part(rank.index, rank.count, rank.run)) for job in jobs]


def _run_alone(
    tasks: list[Task],
    args: argparse.Namespace,
    restorer,
    progress: Callable[[Job, int, int | None], None],
) -> Iterator[Outcome]:
    for task in tasks:
        yield run_job(task, args, restorer, partial(progress, task.job))


def _show_nothing(job: Job, done: int, total: int | None) -> None:
    """Ignore the progress of a job."""


def run_job(
    task: Task,
    args: argparse.Namespace,
    restorer,
    progress: Callable[[int, int | None], None],
) -> Outcome:
    """Run one job, or a part of it, and turn any error into an :class:`Outcome`.

    Args:
        task (Task): The job.
        args (argparse.Namespace): Options.
        restorer (VideoRestorer): The network.
        progress (Callable): Called with the number of frames that are done, and that
            of all or None.
    """
    job = task.job
    outcome = Outcome(job)

    def note(done: int, total: int | None) -> None:
        nonlocal outcome
        outcome = outcome._replace(num_frames=done)
        progress(done, total)

    try:
        if job.page is not None:
            _check_comparison(job, args, restorer)
        if not (args.resume and job.is_done()):
            restored = _restore(task, args, restorer, note)
            if restored is None:
                return outcome._replace(part=task.part)
            outcome = restored
        outcome = outcome._replace(output=job.dst)
        if job.page is not None:
            _compare(job, args, restorer)
            outcome = outcome._replace(page=job.page)
    except (Exception, KeyboardInterrupt) as error:
        messages = [outcome.error, explain(error, args)]
        is_ours = not (outcome.output or isinstance(error, InUseError))
        if is_ours:
            messages += job.describe_kept()
        outcome = outcome._replace(
            output=outcome.output or (job.kept() if is_ours else None),
            error='; '.join(filter(None, messages)),
            exit_code=INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED,
        )
    return outcome


def _open_error(task: Task, args: argparse.Namespace) -> str | None:
    """Why a job cannot be done, as far as it is seen before the network is loaded."""
    job = task.job
    if args.resume and job.is_done():
        return None
    try:
        with _without_log(), open_frames(job.src, args.read) as source:
            open_writer(
                job.target, source.info, args.write, _resume(args), part=task.part
            ).check_free()
        if args.ground_truth is not None:
            _open_truth(args).close()
    except Exception as error:
        return explain(error, args)
    return None


def _check_network(args: argparse.Namespace) -> None:
    """Refuse a network that cannot be used, as far as it is seen without loading it."""
    if args.config is not None:
        find_config(args.config)
    if args.checkpoint and not os.path.isfile(args.checkpoint):
        raise FileNotFoundError(
            f'there is no checkpoint {args.checkpoint}; check the path'
        )
    if args.memory is not None and not args.memory > 0:
        raise ValueError(
            f'memory_budget must be a positive number of GiB, got {args.memory}'
        )
    if args.scale is not None and not args.scale > 1:
        raise ValueError(f'scale must be above 1, got {args.scale}')


def _check_comparison(job: Job, args: argparse.Namespace, restorer) -> None:
    """Refuse a comparison that would fail after the video is restored."""
    scale = args.scale or restorer.scale
    with open_frames(job.src, args.read) as source:
        height, width = (round(scale * n) for n in (source.height, source.width))
    args.read.limits.check_size(job.dst, height, width)
    if args.ground_truth is None:
        return
    with _open_truth(args) as truth:
        if (truth.height, truth.width) != (height, width):
            raise ValueError(
                f'{truth.path} has frames of (H, W) = {(truth.height, truth.width)}, '
                f'the output will have {(height, width)}; the ground truth must have '
                'the size of the output'
            )


def _open_truth(args: argparse.Namespace) -> FrameReader:
    return open_frames(args.ground_truth, replace(args.read, pattern=None))


def _resume(args: argparse.Namespace) -> Resume:
    return Resume(enabled=args.resume, keep_partial=True)


def load_restorer(args: argparse.Namespace):
    """Load the network that the options name; its GPU becomes the process's default."""
    import torch

    from ..restoration import VideoRestorer

    restorer = VideoRestorer.load(
        args.checkpoint,
        args.config,
        device=args.device,
        dtype=args.dtype,
        memory_budget=args.memory,
        trusted=args.trusted,
    )
    restorer.check_scale(args.scale)
    device = restorer.restorer.device
    if device.type == 'cuda':
        torch.cuda.set_device(device)
    return restorer


def _restore(
    task: Task,
    args: argparse.Namespace,
    restorer,
    progress: Callable[[int, int | None], None],
) -> Outcome | None:
    """Restore a video; None if other processes complete it."""
    from ..restoration import EndedEarlyError, RestoreOptions

    job, part = task
    options = RestoreOptions(
        scale=args.scale,
        detect_scenes=args.detect_scenes,
        read=args.read,
        write=args.write,
        resume=_resume(args),
    )
    try:
        if part is None:
            restored = restorer.restore_video(job.src, job.target, options, progress)
        else:
            restored = restorer.restore_part(
                job.src, job.target, part, options, progress
            )
    except EndedEarlyError as error:
        message = explain(error, args)
        frames = error.restored.num_frames
        return Outcome(job, frames, error=message, exit_code=FAILED)
    return None if restored is None else Outcome(job, restored.num_frames)


def _compare(job: Job, args: argparse.Namespace, restorer) -> None:
    from .comparison import write_comparison

    with ExitStack() as opened:
        opened.enter_context(_without_log())
        source = opened.enter_context(open_frames(job.src, args.read))
        truth = args.ground_truth and opened.enter_context(_open_truth(args))
        restored = opened.enter_context(
            open_frames(job.dst, ReadOptions(limits=args.read.limits))
        )
        write_comparison(
            job.page, restorer, source, restored, truth, args.detect_scenes
        )


def explain(error: BaseException, args: argparse.Namespace) -> str:
    """Describe an error in one line, even one that cannot be described."""
    try:
        return _describe(error, args)
    except Exception:
        return f'{type(error).__name__}, without a message; --debug shows where'


def _describe(error: BaseException, args: argparse.Namespace) -> str:
    if isinstance(error, KeyboardInterrupt):
        return 'interrupted'
    if args.debug:
        with suppress(Exception):
            traceback.print_exception(error)
    message = describe_error(error)
    if _is_out_of_memory(error):
        return (
            'memory ran out, even in low strips; free some of it, or use '
            f'--dtype bf16 ({message})'
        )
    if isinstance(error, ValueError | OSError | ImportError):
        return message
    return (
        f'{type(error).__name__}: {message}; this is a bug, --debug shows where it '
        'occurred'
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if 'torch' not in sys.modules:
        return False
    from ..restoration.memory import is_out_of_memory

    return is_out_of_memory(error)


def used_memory() -> float:
    """Memory in use, of the GPU if that is used, in GiB."""
    torch = sys.modules.get('torch')
    on_gpu = torch is not None and torch.cuda.is_available()
    devices = range(torch.cuda.device_count() if on_gpu else 0)
    gpu = sum(map(torch.cuda.max_memory_allocated, devices))
    return (gpu or psutil.Process().memory_info().rss) / 2**30


@contextmanager
def _only_results_on_stdout() -> Iterator[None]:
    """Send the log, and whatever libraries print, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter('%(message)s'))
    logger = logging.getLogger('fmanet_mm')
    logger.addHandler(handler)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def _without_log() -> Iterator[None]:
    """Keep warnings back that come again when the input is restored."""
    logger = logging.getLogger('fmanet_mm')
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Treat a request to terminate, or a closed terminal, like Ctrl-C."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    numbers = [signal.SIGTERM]
    hangup = getattr(signal, 'SIGHUP', None)  # Not on Windows.
    if hangup is not None and signal.getsignal(hangup) == signal.SIG_DFL:
        numbers.append(hangup)  # nohup has it ignored.
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
