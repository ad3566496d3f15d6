"""Measure the package against FMA-Net in the published form.

    python benchmarks/benchmark.py --sizes 90x160 180x320 --dtypes fp32 bf16

The cases take turns, each in a process of its own: they run under the same conditions,
and the peak memory of each can be measured. A case that fails, for example because
memory runs out, is reported, and the others continue.
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
import report
from cases import DTYPES, REFERENCE, VARIANTS, Case, Task, frame_size
from worker import Worker

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
        help='sizes of LR frames; none: skip this part (default: 90x160 180x320)',
    )
    add('--dtypes', nargs='+', choices=DTYPES, default=['fp32', 'bf16'])
    add('--variants', nargs='+', choices=VARIANTS['frame'], default=VARIANTS['frame'])
    add('--device', help='default: a GPU if there is one')
    add('--threads', type=positive, help="CPU threads (default: torch's choice)")
    add(
        '--compile',
        nargs='?',
        const='default',
        choices=['default', 'reduce-overhead', 'max-autotune'],
        help='measure every case with torch.compile, too; reduce-overhead uses CUDA '
        'graphs',
    )
    add('--repeats', type=positive, default=3, help='turns of each case (default: 3)')
    add(
        '--frames',
        type=positive,
        help='frames or training steps timed in a turn (default: 1 on a CPU, 20 on a '
        'GPU); clips: always 1',
    )
    add(
        '--batch',
        type=positive,
        default=1,
        metavar='FRAMES',
        help='frames that streams compute at once (default: 1)',
    )
    add(
        '--clip-lengths',
        nargs='*',
        type=positive,
        default=[],
        metavar='FRAMES',
        help='restore complete clips of these lengths, too',
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
        help='check whether memory grows over this number of frames of one stream',
    )
    add(
        '--clip-size',
        type=frame_size,
        default=(48, 80),
        metavar='HxW',
        help='frame size for --clip-lengths and --long (default: 48x80)',
    )
    add(
        '--memory',
        type=float,
        metavar='GIB',
        help='memory budget of the streams, which use strips to keep it (default: free '
        'memory)',
    )
    add(
        '--profile',
        action='store_true',
        help='report which operations the time of each case goes to',
    )
    add(
        '--quick',
        action='store_true',
        help='check in a minute that everything works: tiny network, small defaults',
    )
    add('--out', type=Path, default=Path('work_dirs/benchmark'), help='output folder')
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


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f'must be a number of 1 or more, got {text!r}')
    return int(text)


def default_device() -> str:
    import torch

    return 'cuda' if torch.cuda.is_available() else 'cpu'


def list_tasks(args: argparse.Namespace) -> list[Task]:
    shapes = [('frame', args.batch, *size) for size in args.sizes]
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
    """The measurement of one case.

    Args:
        task (Task): What is computed.
        case (Case): How.
        args (argparse.Namespace): Arguments of the command.
    """

    def __init__(self, task: Task, case: Case, args: argparse.Namespace) -> None:
        self.task, self.case, self.device = task, case, args.device
        self.frames = 1 if task.kind == 'training' else task.count
        self.worker = Worker(task, case, args.device, args.threads)
        self.counted = dict(macs=None, tensor_bytes=None)
        self.seconds = []
        self.peak_bytes = self.max_difference = self.operations = self.error = None

    def ask(self, question: str, *args):
        """Ask the worker.

        Returns:
            object: Its answer; None if the case fails or has failed before.
        """
        if self.error:
            return None
        try:
            return self.worker.ask(question, *args)
        except RuntimeError as error:
            self.error = str(error)
            self.worker.close()
            self.print(f'failed: {error}')

    def inspect(self) -> None:
        """Count operations and tensors; the case may go without these counts.

        Clips are skipped: their frames cost what any frame costs.
        """
        if self.task.kind == 'clip':
            return
        try:
            self.counted = self.worker.ask('inspect')
        except RuntimeError as error:
            self.print(f'multiply-adds and tensors were not counted: {error}')

    def take_turn(self, calls: int, label: str) -> None:
        """Let the worker do the task ``calls`` times and report how long it took."""
        answer = self.ask('turn', calls)
        if answer:
            self.seconds += [s / self.frames for s in answer['seconds']]
            self.peak_bytes = answer['peak_bytes']
            self.print(f'{label}, {self.seconds[-1]:.3g} s')

    def record(self) -> dict:
        """The results; unknown numbers are None."""
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
            flops_per_second=2 * macs / self.frames / middle
            if macs and seconds
            else None,
            tensor_bytes=None if case.compile_mode or on_gpu else tensor_bytes,
            peak_bytes=self.peak_bytes,
            max_difference=self.max_difference,
            operations=self.operations,
            error=self.error,
        )

    def print(self, news: str) -> None:
        print(f'  {self.task}, {self.case}: {news}', flush=True)


def compare(task: Task, args: argparse.Namespace) -> list[dict]:
    """Measure all cases of a task in turns.

    Args:
        task (Task): What is computed.
        args (argparse.Namespace): Arguments of the command.

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
            run.print('failed' if run.error else 'ready')
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
    """Compare the outputs to the reference's; all are of the same frame or step."""
    outputs = {run.case: run.ask('output') for run in runs}
    reference = outputs.get(REFERENCE)
    if reference is None:
        return
    for run in runs:
        if not run.error:
            difference = np.abs(outputs[run.case] - reference).max()
            run.max_difference = float(difference)


def add_ratios(records: list[dict]) -> list[dict]:
    """Divide time and memory by the reference's, where both are known."""
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
    """Check whether memory grows over one long stream.

    Args:
        args (argparse.Namespace): Arguments of the command.

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
            run.print(f'{frames[-1]} frames, {memory[-1] / 2**20:.1f} MiB in use')
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
