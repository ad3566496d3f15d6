"""Restore blurry, small videos: sharp, and as many times larger as the network makes.

    fmanet-restore blurry.mp4 --checkpoint fmanet_reds.pth
    fmanet-restore *.mp4 frames --out sharp/ --checkpoint fmanet_reds.pth

Inputs are video files and folders of images. Every frame gives a frame, with its time;
sound and subtitles are copied. Without --out the result stands beside the input, as
<name>_restored. It gets its name when it is complete; what a run that was broken off
has written is kept beside it, and --resume goes on with it.
"""

import argparse
import logging
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from fractions import Fraction
from functools import partial
from pathlib import Path

import psutil
import torch
from mmengine.logging import MMLogger

from ..apis import EndedEarlyError, VideoRestorer
from ..restoration.video_restorer import AUTOCAST_DTYPES
from ..restoration.memory import is_out_of_memory
from ..video import Limits, open_frames
from ..video.reader import DEFAULT_FPS
from .comparison import write_comparison
from .jobs import Job, plan_jobs
from .reports import JsonReport, Outcome, TextReport

EXIT_CODES = """\
exit codes:
  0    all inputs were restored
  1    an input failed or ended early; the others were restored
  2    the command or the network cannot be used; nothing was restored
  130  interrupted (Ctrl-C, SIGTERM); the same command with --resume goes on
"""
INTERRUPTED = 130
DEFAULT_CONFIG = 'fmanet_stage2'
DESCRIBES_ITSELF = ('.safetensors', '.onnx', '.pt2')


def main(argv: list[str] | None = None) -> int:
    """Run the command.

    Args:
        argv (list[str], optional): Its arguments, by default those of the process.

    Returns:
        int: The exit code, see ``--help``.
    """
    args, jobs = parse_args(argv)
    report = (JsonReport if args.json else TextReport)(_used_memory)
    outcomes = []
    with _only_results_on_stdout(), _sigterm_as_interrupt():
        try:
            restorer = load_restorer(args)
        except (Exception, KeyboardInterrupt) as error:
            report.error(_explain(error, args))
            return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 2
        for job in jobs:
            outcomes.append(run(job, args, restorer, partial(report.progress, job)))
            report.end(outcomes[-1])
            if outcomes[-1].exit_code == INTERRUPTED:
                break
    report.summary(outcomes)
    return max(outcome.exit_code for outcome in outcomes)


def load_restorer(args: argparse.Namespace) -> VideoRestorer:
    """Load the network, and see whether it can do what is asked for."""
    config = args.config
    if config is None and Path(args.checkpoint).suffix not in DESCRIBES_ITSELF:
        config = DEFAULT_CONFIG
    restorer = VideoRestorer(
        config, args.checkpoint, args.device, args.dtype, args.memory, args.trusted
    )
    restorer.check_scale(args.scale)
    return restorer


def run(
    job: Job,
    args: argparse.Namespace,
    restorer: VideoRestorer,
    progress: Callable[[int, int | None], None],
) -> Outcome:
    """Do a job, however it ends.

    Args:
        job (Job): The job.
        args (argparse.Namespace): Options.
        restorer (VideoRestorer): The network.
        progress (Callable): Called with the number of frames that are done, and that
            of all or None.

    Returns:
        Outcome: Errors included.
    """
    outcome = Outcome(job)

    def note(done: int, total: int | None) -> None:
        nonlocal outcome
        outcome = outcome._replace(num_frames=done)
        progress(done, total)

    try:
        if not (args.resume and job.is_done()):
            outcome = _restore(job, args, restorer, note)
        outcome = outcome._replace(output=job.dst)
        if job.page is not None:
            _compare(job, args, restorer)
            outcome = outcome._replace(page=job.page)
    except (Exception, KeyboardInterrupt) as error:
        messages = [outcome.error, _explain(error, args)]
        kept = None if outcome.output else job.kept()
        if kept is not None:
            messages.append(f'what is done is kept as {kept}, --resume goes on with it')
        outcome = outcome._replace(
            output=outcome.output or kept,
            error='; '.join(filter(None, messages)),
            exit_code=INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1,
        )
    return outcome


def _restore(
    job: Job,
    args: argparse.Namespace,
    restorer: VideoRestorer,
    progress: Callable[[int, int | None], None],
) -> Outcome:
    try:
        restored = restorer.restore_video(
            job.src,
            job.dst,
            scale=args.scale,
            start=args.start,
            end=args.end,
            detect_scenes=args.detect_scenes,
            folder_fps=args.fps or DEFAULT_FPS,
            pattern=args.pattern,
            limits=args.limits,
            codec=args.codec,
            crf=args.crf,
            pixel_format=args.pix_fmt,
            resume=args.resume,
            keep_partial=True,
            progress=progress,
        )
    except EndedEarlyError as error:
        message = _explain(error, args)
        return Outcome(job, error.restored.num_frames, error=message, exit_code=1)
    return Outcome(job, restored.num_frames)


def _compare(job: Job, args: argparse.Namespace, restorer: VideoRestorer) -> None:
    part = dict(start=args.start, end=args.end, folder_fps=args.fps or DEFAULT_FPS)
    with ExitStack() as opened:
        source, truth = (
            path and opened.enter_context(open_frames(path, pattern=pattern, **part))
            for path, pattern in (
                (job.src, args.pattern),
                (args.ground_truth, None),
            )
        )
        restored = opened.enter_context(open_frames(job.dst))
        write_comparison(
            job.page, restorer, source, restored, truth, args.detect_scenes
        )


def parse_args(argv: list[str] | None) -> tuple[argparse.Namespace, list[Job]]:
    """Read the command line; leave with a message if it makes no sense."""
    parser = build_parser()
    args = parser.parse_args(argv)
    limits = {
        name: value
        for name in ('max_pixels', 'max_seconds')
        if (value := getattr(args, name)) is not None
    }
    try:
        _check_options(args)
        args.limits = Limits(**limits)
        return args, plan_jobs(args.inputs, args.out, args.compare)
    except ValueError as error:
        parser.error(str(error))


def build_parser() -> argparse.ArgumentParser:
    """What the command understands."""
    parser = argparse.ArgumentParser(
        'fmanet-restore',
        description=__doc__,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        type=Path,
        metavar='INPUT',
        help='video files and folders of images',
    )
    parser.add_argument(
        '--out',
        metavar='PATH',
        help='a video file, or a folder for images; for several inputs, or with / at '
        'its end, a folder that gets an output of the same name for each. A file of '
        'that name is replaced; a folder of images must be empty',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with a run that was broken off; outputs that are complete are left '
        'as they are',
    )
    parser.add_argument(
        '--json',
        action='store_true',
        help='report on standard output, a JSON object a line with an "event": '
        'progress, done or error',
    )
    parser.add_argument(
        '--debug', action='store_true', help='show where in the program errors arise'
    )
    _add_network_options(parser.add_argument_group('network'))
    _add_input_options(parser.add_argument_group('input'))
    _add_output_options(parser.add_argument_group('output'))
    return parser


def _add_network_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--checkpoint',
        required=True,
        metavar='FILE',
        help='weights of stage 2, or an exported network (.safetensors, .onnx, .pt2)',
    )
    group.add_argument(
        '--config',
        help='config of the network, a file or a name such as fmanet_s_stage2 '
        f'(default: {DEFAULT_CONFIG}, or what an exported network says of itself)',
    )
    group.add_argument(
        '--trusted',
        action='store_true',
        help='the checkpoint comes from where programs would be taken from, too; '
        'needed for .pt2 files, which can run code',
    )
    group.add_argument(
        '--device', help='cpu, cuda, cuda:1 ... (default: a GPU if there is one)'
    )
    group.add_argument(
        '--dtype',
        choices=list(AUTOCAST_DTYPES),
        default='fp32',
        help='precision of the computation; fp16 on GPUs only (default: fp32)',
    )
    group.add_argument(
        '--memory',
        type=float,
        metavar='GIB',
        help='memory for the computation; large frames are computed in strips so that '
        'it is enough (default: most of what is free)',
    )


def _add_input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--start', type=seconds, metavar='TIME', help='begin at 83.5 or 1:23.5'
    )
    group.add_argument(
        '--end', type=seconds, metavar='TIME', help='end before it, like --start'
    )
    group.add_argument(
        '--pattern', help="which files of a folder are the frames, such as 'left_*.png'"
    )
    group.add_argument(
        '--fps',
        type=_fps,
        help='frames a second of a folder, such as 30000/1001 '
        f'(default: {DEFAULT_FPS})',
    )
    group.add_argument(
        '--no-scene-cuts',
        dest='detect_scenes',
        action='store_false',
        help='let neighbours help each other across scene cuts, too',
    )
    group.add_argument(
        '--max-pixels',
        type=int,
        metavar='N',
        help=f'refuse larger frames (default: {Limits.max_pixels})',
    )
    group.add_argument(
        '--max-seconds',
        type=float,
        metavar='N',
        help=f'refuse longer videos (default: {Limits.max_seconds})',
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--scale',
        type=float,
        help='size of the output relative to the input, above 1; the output of the '
        'network is shrunk to it by averaging areas (default: that of the network, '
        'which is the largest)',
    )
    group.add_argument('--codec', help='of a video file, such as libx265')
    group.add_argument('--crf', type=int, help='its quality, the smaller the better')
    group.add_argument('--pix-fmt', help='its pixel format, such as yuv444p')
    group.add_argument(
        '--compare',
        nargs='?',
        const=True,
        metavar='FILE.html',
        help='compare input and output on a page for a browser (default name: '
        '<output>_compare.html)',
    )
    group.add_argument(
        '--ground-truth',
        type=Path,
        metavar='PATH',
        help='the sharp video or folder, of the size of the output: --compare measures '
        'against it',
    )


def seconds(text: str) -> Fraction:
    """Read a time.

    Args:
        text (str): Seconds, minutes:seconds or hours:minutes:seconds.

    Returns:
        Fraction: Seconds.

    Raises:
        argparse.ArgumentTypeError: If it is no such time.
    """
    parts = text.split(':')
    try:
        *whole, last = parts
        numbers = [*map(int, whole), Fraction(last)]
    except (ValueError, ZeroDivisionError):
        numbers = []
    if (
        not 1 <= len(numbers) <= 3
        or min(numbers) < 0
        or max(numbers[1:], default=0) >= 60
    ):
        raise argparse.ArgumentTypeError(
            f'{text!r} is no time; write seconds such as 83.5, 1:23.5 or 0:01:23.5'
        )
    total = Fraction(0)
    for number in numbers:
        total = 60 * total + number
    return total


def _fps(text: str) -> Fraction:
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = 0
    if fps <= 0:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no frame rate; write it as 25, 29.97 or 30000/1001'
        )
    return fps


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not fit each other."""
    if None not in (args.start, args.end) and args.start >= args.end:
        raise ValueError('--end must be later than --start')
    has_folder = any(path.is_dir() for path in args.inputs)
    for name in ('fps', 'pattern'):
        if getattr(args, name) is not None and not has_folder:
            raise ValueError(f'--{name} is for folders of images, there is none')
    if isinstance(args.compare, str) and not args.compare.endswith('.html'):
        raise ValueError(
            f'--compare {args.compare} should end in .html; put inputs before --compare'
        )
    if args.ground_truth is not None and (not args.compare or len(args.inputs) > 1):
        raise ValueError('--ground-truth is for --compare and a single input')
    if args.compare and args.scale is not None and not args.scale.is_integer():
        raise ValueError('--compare needs a whole number as --scale')


def _explain(error: BaseException, args: argparse.Namespace) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, KeyboardInterrupt):
        return 'interrupted'
    if args.debug:
        traceback.print_exception(error)
    message = ' '.join(str(error).split())
    if is_out_of_memory(error):
        return (
            'memory ran out, even in small strips; leave more of it free, or use '
            f'--dtype bf16 ({message})'
        )
    if isinstance(error, ValueError | OSError | ImportError):
        return message
    return (
        f'{type(error).__name__}: {message}; this should not happen, --debug shows '
        'where it did'
    )


def _used_memory() -> float:
    """Memory in use, of the GPU if that is used, in GiB."""
    gpu = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return (gpu or psutil.Process().memory_info().rss) / 2**30


@contextmanager
def _only_results_on_stdout() -> Iterator[None]:
    """Send to standard error what libraries print, and the log of MMEngine."""
    handlers = [
        handler
        for handler in MMLogger.get_current_instance().handlers
        if type(handler) is logging.StreamHandler
    ]
    before = [handler.setStream(sys.stderr) for handler in handlers]
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream or sys.stderr)


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Let a request to end be the same as Ctrl-C."""

    def interrupt(*_) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == '__main__':
    sys.exit(main())
