"""The command line of ``fmanet-restore``; reading it imports nothing slow."""

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path

from ..video.limits import Limits
from ..video.options import DEFAULT_FPS, DEINTERLACE, ReadOptions, WriteOptions
from .jobs import Job, plan_jobs
from .reports import describe_error

DESCRIPTION = """\
Restore blurry, small videos: sharp, and larger by the scale of the network.

    fmanet-restore blurry.mp4 --checkpoint fmanet_reds.pth
    fmanet-restore *.mp4 frames --out sharp/ --checkpoint fmanet_reds.pth

Inputs are video files and folders of images. Every frame gives a frame, with its time;
audio and subtitles are copied. Without --out the result is next to the input, as
<name>_restored. It appears when it is complete; the frames of an interrupted run are
kept next to it, and --resume continues from them.
"""

EXIT_CODES = """\
exit codes:
  0    all inputs were restored
  1    an input failed or ended early; the others were restored
  2    the command or the network cannot be used; nothing was restored
  130  interrupted (Ctrl-C, SIGTERM, closed terminal); --resume continues
"""

DEFAULT_CONFIG = 'fmanet_stage2'
SELF_DESCRIBING = ('.safetensors', '.onnx', '.pt2')
DTYPES = ('fp32', 'bf16', 'fp16')


def parse_args(argv: list[str] | None) -> tuple[argparse.Namespace, list[Job]]:
    """Read the command line; exit with a message if it makes no sense.

    Args:
        argv (list[str], optional): By default the arguments of the process.

    Returns:
        tuple[argparse.Namespace, list[Job]]: The options, with ``read`` and ``write``
        for :class:`~fmanet_mm.restoration.VideoRestorer`, and a job for each input.
    """
    parser = build_parser()
    for word in sys.argv[1:] if argv is None else argv:
        if word == '--':
            break
        if word.startswith('-') and Path(word).suffix and os.path.lexists(word):
            parser.error(f'{word} is taken for options; write the file as ./{word}')
    args = parser.parse_args(argv)
    limits = {
        name: value
        for name in ('max_pixels', 'max_seconds')
        if (value := getattr(args, name)) is not None
    }
    try:
        _check_options(args)
        if args.config is None and not args.checkpoint.endswith(SELF_DESCRIBING):
            args.config = DEFAULT_CONFIG
        args.read = ReadOptions(
            start=args.start,
            end=args.end,
            folder_fps=args.fps or DEFAULT_FPS,
            pattern=args.pattern,
            limits=Limits(**limits),
            deinterlace=args.deinterlace,
            stop_at_damage=args.stop_at_damage,
            to_srgb=args.to_srgb,
        )
        args.write = WriteOptions(
            codec=args.codec, crf=args.crf, pixel_format=args.pix_fmt
        )
        return args, plan_jobs(args.inputs, args.out, args.compare)
    except (OSError, ValueError) as error:
        parser.error(describe_error(error))


def build_parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(
        'fmanet-restore',
        description=DESCRIPTION,
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'inputs',
        nargs='+',
        type=_input,
        metavar='INPUT',
        help='video files and folders of images',
    )
    parser.add_argument(
        '--out',
        type=_place,
        metavar='PATH',
        help='a video file, or a folder for images (no suffix, or a / at its end); for '
        'several inputs a folder for an output of the same name for each. A file of '
        'that name is replaced when the result is complete, a link is followed; a '
        'folder of images must be empty',
    )
    parser.add_argument(
        '--resume',
        action='store_true',
        help='continue an interrupted run; complete outputs are left as they are',
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
        metavar='FILE',
        help='weights of the network, or an exported network (.safetensors, .onnx, '
        '.pt2); only a --config without weights, such as baselines/bicubic, needs none',
    )
    group.add_argument(
        '--config',
        help='config of the network, a file or a name such as fmanet_s_stage2 '
        f'(default: {DEFAULT_CONFIG}, or the description in an exported network)',
    )
    group.add_argument(
        '--trusted',
        action='store_true',
        help='the checkpoint may run code, as .pt2 files can; only for files you would '
        'also run a program from',
    )
    group.add_argument(
        '--device',
        metavar='DEVICE[,DEVICE...]',
        help='cpu, cuda, cuda:1, mps, xpu ...; several such as cuda:0,cuda:1, or all '
        'GPUs by all, share the inputs or the parts of one, with the same result '
        '(default: a GPU if there is one; for each process of torchrun or srun its '
        'own)',
    )
    group.add_argument(
        '--dtype',
        choices=DTYPES,
        default='fp32',
        help='precision of the computation; fp16 on GPUs only (default: fp32)',
    )
    group.add_argument(
        '--memory',
        type=float,
        metavar='GIB',
        help='memory for the computation; large frames are computed in strips that fit '
        '(default: most of the free memory)',
    )


def _add_input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--start', type=seconds, metavar='TIME', help='begin at 83.5 or 1:23.5'
    )
    group.add_argument(
        '--end', type=seconds, metavar='TIME', help='end before this time'
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
        '--deinterlace',
        choices=DEINTERLACE,
        default=DEINTERLACE[0],
        help='auto: frames of a video file that are marked as interlaced are '
        'deinterlaced, each to one frame; off: they are left as they are (default: '
        'auto)',
    )
    group.add_argument(
        '--stop-at-damage',
        action='store_true',
        help='end a video file at the first frame that cannot be decoded (default: '
        'leave out such frames)',
    )
    group.add_argument(
        '--to-srgb',
        action='store_true',
        help='convert images with a colour profile to sRGB (default: images keep it)',
    )
    group.add_argument(
        '--no-scene-cuts',
        dest='detect_scenes',
        action='store_false',
        help='use neighbouring frames across scene cuts, too',
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
        'network is shrunk to it by averaging areas (default: the scale of the '
        'network, which is the largest)',
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


def _place(text: str) -> str:
    """Refuse what is no name of a file, but may be meant otherwise."""
    if not text:
        raise argparse.ArgumentTypeError('the name is empty; name a file or folder')
    if text == '-':
        raise argparse.ArgumentTypeError(
            'videos are neither read from standard input nor written to standard '
            'output; name a file (one of this name as ./-)'
        )
    return text


def _input(text: str) -> Path:
    return Path(_place(text))


def _fps(text: str) -> Fraction:
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        fps = Fraction(0)
    if fps.limit_denominator(65536) <= 0:
        raise argparse.ArgumentTypeError(
            f'{text!r} is no frame rate; write it as 25, 29.97 or 30000/1001'
        )
    return fps


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that do not fit each other."""
    if not (args.checkpoint or args.config):
        raise ValueError('name the weights of a network with --checkpoint')
    if None not in (args.start, args.end) and args.start >= args.end:
        raise ValueError('--end must be later than --start')
    has_folder = any(os.path.isdir(path) for path in args.inputs)
    for name in ('fps', 'pattern'):
        if getattr(args, name) is not None and not has_folder:
            raise ValueError(f'--{name} is for folders of images, but no input is one')
    if isinstance(args.compare, str) and not args.compare.endswith('.html'):
        raise ValueError(
            f'--compare {args.compare} should end in .html; put inputs before --compare'
        )
    if args.ground_truth is not None and (not args.compare or len(args.inputs) > 1):
        raise ValueError('--ground-truth is for --compare and a single input')
    if args.compare and args.scale is not None and not args.scale.is_integer():
        raise ValueError('--compare needs a whole number as --scale')
