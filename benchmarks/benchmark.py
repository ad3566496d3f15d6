"""Measure the package against FMA-Net in the published form.

    python tools/analysis_tools/benchmark.py --sizes 90x160 180x320 --dtypes fp32 bf16

The cases take turns, each in a process of its own, so that they meet the same machine
and each has its own peak of memory. A case that fails, as for want of memory, is
reported, and the others go on.
"""

import argparse
import shlex
import sys
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
from benchmark import report
from benchmark.cases import DTYPES, REFERENCE, VARIANTS, Case, Task
from benchmark.worker import Worker

QUICK = dict(
    sizes=[(12, 16), (16, 24)],
    dtypes=['fp32'],
    frames=1,
    repeats=1,
    clip_lengths=[1, 4],
    clip_size=(12, 16),
    training=[1, 16],
    long=20,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        '--sizes',
        nargs='*',
        type=frame_size,
        default=[(90, 160), (180, 320)],
        metavar='HxW',
        help='sizes of LR frames; none: leave this part out (default: 90x160 180x320)',
    )
    add('--dtypes', nargs='+', choices=DTYPES, default=['fp32', 'bf16'])
    add('--variants', nargs='+', choices=VARIANTS['frame'], default=VARIANTS['frame'])
    add('--device', help='default: a GPU if there is one')
    add('--threads', type=positive, help="of the CPU (default: torch's choice)")
    add(
        '--compile',
        nargs='?',
        const='default',
        choices=['default', 'reduce-overhead', 'max-autotune'],
        help='measure every case through torch.compile too; reduce-overhead uses CUDA '
        'graphs',
    )
    add('--repeats', type=positive, default=3, help='turns of every case (default: 3)')
    add(
        '--frames',
        type=positive,
        help='frames, or steps of training, timed in a turn (default: 1 on a CPU, 20 '
        'on a GPU); clips: always 1',
    )
    add(
        '--clip-lengths',
        nargs='*',
        type=positive,
        default=[],
        metavar='FRAMES',
        help='restore whole clips of these lengths, too',
    )
    add(
        '--training',
        nargs=2,
        type=positive,
        metavar=('BATCH', 'PATCH'),
        help='measure training steps, too; as published: 8 64',
    )
    add(
        '--long',
        type=positive,
        metavar='FRAMES',
        help='see whether memory grows over so many frames of one stream',
    )
    add(
        '--clip-size',
        type=frame_size,
        default=(48, 80),
        metavar='HxW',
        help='of --clip-lengths and --long (default: 48x80)',
    )
    add(
        '--memory',
        type=float,
        metavar='GIB',
        help='budget of the streams, which take strips if need be (default: what is '
        'free)',
    )
    add(
        '--profile',
        action='store_true',
        help='tell which operations the time of each case goes to',
    )
    add(
        '--quick',
        action='store_true',
        help='see in a minute that everything works: a tiny network, small defaults',
    )
    add('--out', type=Path, default=Path('work_dirs/benchmark'), help='folder to write')
    args = parser.parse_args()
    if args.quick:
        parser.set_defaults(**QUICK)
        args = parser.parse_args()
    if not args.device:
        args.device = default_device()
    on_gpu = args.device.startswith('cuda')
    args.frames = args.frames or (20 if on_gpu else 1)
    if not on_gpu and {'tf32', 'fp16'} & {*args.dtypes}:
        parser.error(f'tf32 and fp16 need a GPU, --device is {args.device}')
    return args


def frame_size(text: str) -> tuple[int, int]:
    height, _, width = text.partition('x')
    if not (height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise argparse.ArgumentTypeError(f'must be HxW, as 180x320, got {text!r}')
    return int(height), int(width)


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'must be a number of 1 or more, got {text!r}')
    return int(text)


def default_device() -> str:
    import torch

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def list_tasks(args: argparse.Namespace) -> list[Task]:
    shapes = [('frame', 1, *size) for size in args.sizes]
    shapes += [('clip', length, *args.clip_size) for length in args.clip_lengths]
    if args.training:
        batch, patch = args.training
        shapes.append(('training', batch, patch, patch))
    return [Task(*shape, args.quick, args.memory) for shape in shapes]


def list_cases(task: Task, args: argparse.Namespace) -> list[Case]:
    variants = VARIANTS['training'] if task.kind == 'training' else args.variants
    modes = [None, args.compile] if args.compile else [None]
    return [Case(*c) for c in product(variants, args.dtypes, modes)]


class Run:
    """A case on its way.

    Args:
        task (Task): What is computed.
        case (Case): How.
        args (argparse.Namespace): The command line's.
    """

    def __init__(self, task: Task, case: Case, args: argparse.Namespace) -> None:
        self.task, self.case, self.device = task, case, args.device
        self.frames = task.count if task.kind == 'clip' else 1
        self.worker = Worker(task, case, args.device, args.threads)
        self.counted = dict(macs=None, tensor_bytes=None)
        self.seconds = []
        self.peak_bytes = self.max_difference = self.operations = self.error = None

    def ask(self, question: str, *args):
        """Ask the worker.

        Returns:
            object: Its answer; None if the case fails now, or has failed before.
        """
        if self.error:
            return None
        try:
            return self.worker.ask(question, *args)
        except RuntimeError as error:
            self.error = str(error)
            self.worker.close()
            self.tell(f'failed: {error}')

    def inspect(self) -> None:
        """Count what needs no clock; not to know it does not fail the case.

        Whole clips are left out: a frame of theirs takes what any frame takes.
        """
        if self.task.kind == 'clip':
            return
        try:
            self.counted = self.worker.ask('inspect')
        except RuntimeError as error:
            self.tell(f'multiply-adds and tensors were not counted: {error}')

    def take_turn(self, calls: int, label: str) -> None:
        """Let the worker do the task some times, and tell how long it took."""
        answer = self.ask('turn', calls)
        if answer:
            self.seconds += [s / self.frames for s in answer['seconds']]
            self.peak_bytes = answer['peak_bytes']
            self.tell(f'{label}, {self.seconds[-1]:.3g} s')

    def record(self) -> dict:
        """What was measured; numbers that are not known are None."""
        task, case, seconds = self.task, self.case, self.seconds
        middle = median(seconds) if seconds else None
        macs, tensor_bytes = self.counted['macs'], self.counted['tensor_bytes']
        on_gpu = self.device.startswith('cuda')
        return dict(
            task=str(task),
            case=str(case),
            **asdict(task),
            **asdict(case),
            pixels=task.height * task.width,
            seconds=seconds,
            median_seconds=middle,
            min_seconds=min(seconds, default=None),
            per_second=1 / middle if seconds else None,
            macs_per_pixel=macs and macs / task.pixels,
            flops_per_second=2 * macs / middle if macs and seconds else None,
            tensor_bytes=None if case.compile_mode or on_gpu else tensor_bytes,
            peak_bytes=self.peak_bytes,
            max_difference=self.max_difference,
            operations=self.operations,
            error=self.error,
        )

    def tell(self, news: str) -> None:
        print(f'  {self.task}, {self.case}: {news}', flush=True)


def compare(task: Task, args: argparse.Namespace) -> list[dict]:
    """Measure all cases of a task in turns.

    Args:
        task (Task): What is computed.
        args (argparse.Namespace): The command line's.

    Returns:
        list[dict]: A record of each case.
    """
    with ExitStack() as stack:
        runs = [Run(task, case, args) for case in list_cases(task, args)]
        for run in runs:
            stack.callback(run.worker.close)
        for run in runs:
            run.inspect()
            run.ask('prepare')
            run.tell('failed' if run.error else 'ready')
        calls = 1 if task.kind == 'clip' else args.frames
        for turn in range(args.repeats):
            for run in runs:
                run.take_turn(calls, f'turn {turn + 1} of {args.repeats}')
            if turn == 0:
                compare_outputs(runs)
        if args.profile:
            for run in runs:
                run.operations = run.ask('profile')
        return add_ratios([run.record() for run in runs])


def compare_outputs(runs: list[Run]) -> None:
    """Hold the outputs to the reference's; all have come equally far."""
    outputs = {run.case: run.ask('output') for run in runs}
    reference = outputs.get(REFERENCE)
    if reference is None:
        return
    for run in runs:
        if not run.error:
            difference = np.abs(outputs[run.case] - reference).max()
            run.max_difference = float(difference)


def add_ratios(records: list[dict]) -> list[dict]:
    """Compare time and memory to the reference's, where both are known."""
    reference = next((r for r in records if r['case'] == str(REFERENCE)), {})
    for record in records:
        for name, over, under in (
            ('speedup', reference.get('median_seconds'), record['median_seconds']),
            ('tensor_ratio', record['tensor_bytes'], reference.get('tensor_bytes')),
            ('peak_ratio', record['peak_bytes'], reference.get('peak_bytes')),
        ):
            record[name] = over / under if over and under else None
    return records


def watch_memory(args: argparse.Namespace) -> dict:
    """See whether memory grows over one long stream.

    Args:
        args (argparse.Namespace): The command line's.

    Returns:
        dict: Memory in use after each tenth of the frames; ``growth`` from the first
        tenth to the last, as a fraction.
    """
    task = Task('frame', 1, *args.clip_size, args.quick, args.memory)
    case = Case('stream', args.dtypes[0])
    run = Run(task, case, args)
    tenth, frames, memory = max(args.long // 10, 1), [], []
    run.ask('prepare')
    while not run.error and len(frames) < 10:
        answer = run.ask('turn', tenth)
        if answer:
            memory.append(answer['memory_bytes'])
            frames.append(tenth * len(memory))
            run.tell(f'{frames[-1]} frames, {memory[-1] / 2**20:.1f} MiB in use')
    run.worker.close()
    return dict(
        case=str(case),
        task=str(task),
        frames=frames,
        memory_bytes=memory,
        growth=None if run.error else memory[-1] / memory[0] - 1,
        error=run.error,
    )


def describe_machine(args: argparse.Namespace) -> dict:
    task, case = Task('frame', 1, *args.clip_size), REFERENCE
    worker = Worker(task, case, args.device, args.threads)
    try:
        return worker.ask('environment')
    finally:
        worker.close()


def main() -> None:
    args = parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results = dict(
        command=shlex.join(['python', *sys.argv]),
        environment=describe_machine(args),
        records=[],
        long=None,
    )
    for task in list_tasks(args):
        print(f'{task}: {len(list_cases(task, args))} cases', flush=True)
        results['records'] += compare(task, args)
        report.write(results, args.out)
    if args.long:
        print(f'a stream of {args.long} frames', flush=True)
        results['long'] = watch_memory(args)
        report.write(results, args.out)
    print(report.markdown(results))
    print(f'Written to {args.out}: benchmark.md, benchmark.json, benchmark.png')


if __name__ == '__main__':
    main()
