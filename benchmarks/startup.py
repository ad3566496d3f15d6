"""Measure how long the command and the Python API take to start.

    python benchmarks/startup.py

Two ratios or differences matter, since absolute times depend on the machine: the time
of ``fmanet-restore --help`` over that of an empty Python program, and the time that
``import fmanet_mm.restoration`` takes after ``import torch``. The programs take turns
and medians are compared, so that other load on the machine affects all alike.
"""

import argparse
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from statistics import median

PROGRAMS = {
    'empty program': ['-c', 'pass'],
    'fmanet-restore --help': ['-m', 'fmanet_mm.cli.restore_video', '--help'],
    'import torch': ['-c', 'import torch'],
    'import fmanet_mm.restoration': ['-c', 'import torch, fmanet_mm.restoration'],
}
"""Arguments of Python by name."""


def seconds(arguments: list[str]) -> float:
    """Wall-clock time of a Python program, from start to exit."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def measure(repeats: int) -> dict[str, list[float]]:
    """Run all programs in turns.

    Args:
        repeats (int): Turns; an untimed one comes first, to fill the file cache.

    Returns:
        dict[str, list[float]]: Seconds of each program.
    """
    for arguments in PROGRAMS.values():
        seconds(arguments)
    times = {name: [] for name in PROGRAMS}
    for _ in range(repeats):
        for name, arguments in PROGRAMS.items():
            times[name].append(seconds(arguments))
    return times


def report(times: dict[str, list[float]]) -> str:
    """Format the medians and what they amount to."""
    middle = {name: median(values) for name, values in times.items()}
    empty, command, torch, restoration = middle.values()
    rows = [
        f'{name:<30}{middle[name]:7.2f} s   ({min(values):.2f} to {max(values):.2f})'
        for name, values in times.items()
    ]
    return '\n'.join(
        [
            *rows,
            '',
            f'fmanet-restore --help: {command / empty:.1f} times an empty program',
            f'import fmanet_mm.restoration: {restoration - torch:+.2f} s over torch, '
            f'{restoration / torch:.2f} times its import',
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--repeats', type=int, default=7, help='turns of each program (default: 7)'
    )
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f'--repeats must be at least 1, got {args.repeats}')
    print(
        f'{platform.machine()} {platform.system()}, Python '
        f'{platform.python_version()}, torch {version("torch")}, '
        f'mmengine {version("mmengine")}\n'
    )
    print(report(measure(args.repeats)))


if __name__ == '__main__':
    main()
