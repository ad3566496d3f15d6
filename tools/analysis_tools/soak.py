"""Train a tiny FMA-Net twice, uninterrupted and under random kills, and compare.

A small synthetic set, a config and both runs are written to a folder. The killed run
(kill -9, at random moments and while a checkpoint is being written) is restarted with
--resume until it ends. Weights, optimizer, learning rate schedule and logged losses
must then be identical bit for bit, and the memory of the uninterrupted run must not
grow.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import psutil
import torch

from fmanet_mm.engine import read_checkpoint
from fmanet_mm.engine.checkpointing import DRAFTS
from fmanet_mm.flow import flow_filename, save_flow

REPO = Path(__file__).resolve().parents[2]
TRAIN = REPO / 'tools' / 'train.py'
ALLOWED_GROWTH = 0.05
"""Growth of memory that allocators and the page cache cause without a leak."""

CONFIG = """\
_base_ = ['{base}']
tiny = dict(channels=12, num_flows=2, num_heads=2, num_rdbs=1, num_dense_layers=1,
    degradation_kernel_size=4)
crop = dict(_base_.random_crop, patch_size=16)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
model = dict(architecture=tiny)
train_dataloader = dict(
    batch_size=2,
    num_workers={workers},
    persistent_workers={workers} > 0,
    dataset=dict(data_root='{data}', pipeline=pipeline),
)
val_dataloader = dict(
    num_workers=0, dataset=dict(data_root='{data}', ann_file='train.txt',
    data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'))
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters={iters}, val_interval={val_interval})
param_scheduler = dict(milestones=[{iters} // 2, {iters} * 3 // 4])
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval={interval}, max_keep_ckpts=2)
)
randomness = dict(seed=7)
"""


def make_set(root: Path) -> None:
    """Write two clips of a texture that moves by one LR pixel per frame."""
    generator = np.random.default_rng(0)
    for clip in ('000', '001'):
        texture = generator.uniform(0, 255, (96, 160, 3)).astype(np.float32)
        texture = cv2.GaussianBlur(texture, (0, 0), 2).astype(np.uint8)
        for index in range(6):
            sharp = texture[:, 4 * index : 4 * index + 96]
            small = cv2.resize(sharp, None, fx=0.25, fy=0.25)
            for kind, image in (
                ('train_sharp', sharp),
                ('train_sharp_bicubic/X4', small),
                ('train_blur_bicubic/X4', cv2.blur(small, (3, 1))),
            ):
                path = root / kind / clip / f'{index:08d}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), image)
            for other in (index - 1, index + 1):
                flow = np.zeros((24, 24, 2), np.float32)
                flow[..., 0] = index - other
                name = flow_filename(f'{index:08d}', f'{other:08d}')
                save_flow(root / 'train_flow/X4' / clip / name, flow)
    (root / 'train.txt').write_text('000 6\n001 6\n')


def write_config(
    folder: Path, iters: int, interval: int, workers: int, val_interval: int
) -> Path:
    """Write the config of both runs and its set."""
    data = folder.resolve() / 'data'
    make_set(data)
    config = folder / 'soak.py'
    config.write_text(
        CONFIG.format(
            base=REPO / 'configs/quickstart_stage1.py',
            data=data,
            iters=iters,
            interval=interval,
            workers=workers,
            val_interval=val_interval,
        )
    )
    return config


class Run:
    """A training in its own process group, with a log in its folder.

    As a context manager, it is killed at the end of the context.
    """

    def __init__(self, config: Path, work_dir: Path) -> None:
        work_dir.mkdir(parents=True, exist_ok=True)
        self.work_dir = work_dir
        self.log = work_dir / 'output.txt'
        with open(self.log, 'ab') as log:
            self.process = subprocess.Popen(
                [sys.executable, TRAIN, config, '--work-dir', work_dir, '--resume'],
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> 'Run':
        return self

    def __exit__(self, *error) -> None:
        if self.process.poll() is None:
            self.kill()

    def kill(self) -> None:
        """Kill it and its loader workers without warning."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def finished(self) -> bool:
        """Whether it has ended successfully.

        Raises:
            RuntimeError: If it has failed.
        """
        if self.process.poll():
            tail = self.log.read_text(errors='replace')[-3000:]
            raise RuntimeError(f'{TRAIN} failed in {self.work_dir}:\n{tail}')
        return self.process.poll() is not None

    @property
    def num_saved(self) -> int:
        """Number of checkpoints that this run and earlier ones have begun to write."""
        return self.log.read_text(errors='replace').count('Saving checkpoint')

    def memory(self) -> int:
        """Resident bytes of the training process; 0 once it has ended."""
        try:
            return psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return 0


def run_uninterrupted(config: Path, work_dir: Path) -> tuple[float, list[int]]:
    """Train without a kill; return the seconds and the memory over time."""
    start, memory = time.monotonic(), []
    with Run(config, work_dir) as run:
        while not run.finished:
            if list(work_dir.glob('iter_*.pth')):
                memory.append(run.memory())
            time.sleep(0.1)
    return time.monotonic() - start, [value for value in memory if value]


def _wait_for_saving(run: Run) -> None:
    """Wait until the second checkpoint is begun, so that the first is complete."""
    saved = run.num_saved
    while not run.finished and run.num_saved < saved + 2:
        time.sleep(0.002)


def run_under_kills(
    config: Path, work_dir: Path, kills: int, longest: float, rng: random.Random
) -> int:
    """Train under random kills; return how many of them hit the saving."""
    hits = 0
    for number in range(kills):
        with Run(config, work_dir) as run:
            if number % 2:
                wait = rng.uniform(0, longest)
            else:
                _wait_for_saving(run)
                wait = rng.uniform(0, 0.03)
            time.sleep(wait)
        hits += any(work_dir.glob(DRAFTS))
        print(f'Kill {number + 1} of {kills}', flush=True)
    with Run(config, work_dir) as run:
        while not run.finished:
            time.sleep(0.1)
    return hits


def differences(one: object, other: object, name: str = '') -> list[str]:
    """Names of the entries that differ between two nested values, bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [
            d for key in one for d in differences(one[key], other[key], f'{name}.{key}')
        ]
    if isinstance(one, list | tuple) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f'{name}.{i}')]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [name]


def logged_losses(work_dir: Path) -> dict[tuple[int, str], set[float]]:
    """Logged losses of a run, by iteration and name."""
    losses = {}
    for log in work_dir.glob('*/vis_data/scalars.json'):
        for line in log.read_text().splitlines():
            try:
                values = json.loads(line)
            except json.JSONDecodeError:  # The kill truncated this line.
                continue
            for name in values:
                if name.startswith('loss'):
                    losses.setdefault((values['step'], name), set()).add(values[name])
    return losses


def compare(uninterrupted: Path, killed: Path, iters: int) -> list[str]:
    """Names of the differences between the results and logs of the two runs."""
    first, second = (
        read_checkpoint(str(folder / f'iter_{iters}.pth'))
        for folder in (uninterrupted, killed)
    )
    differing = [
        name
        for key in ('state_dict', 'optimizer', 'param_schedulers')
        for name in differences(first[key], second[key], key)
    ]
    expected, found = logged_losses(uninterrupted), logged_losses(killed)
    return differing + [
        f'{name} of iteration {step}'
        for (step, name), values in found.items()
        if values != expected.get((step, name))
    ]


def growth(memory: list[int]) -> float:
    """Relative growth of memory from the second quarter to the last."""
    quarter = max(len(memory) // 4, 1)
    return median(memory[-quarter:]) / median(memory[quarter : 2 * quarter + 1]) - 1


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='new folder for data and runs')
    parser.add_argument('--iters', type=int, default=2000)
    parser.add_argument(
        '--interval', type=int, default=50, help='iterations between checkpoints'
    )
    parser.add_argument('--val-interval', type=int, default=200)
    parser.add_argument('--kills', type=int, default=20)
    parser.add_argument(
        '--workers', type=int, default=2, help='workers of the data loader'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the kills')
    args = parser.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()):
        parser.error(f'{args.folder} is not empty; name a new folder')
    return args


def main() -> None:
    args = parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    config = write_config(
        args.folder, args.iters, args.interval, args.workers, args.val_interval
    )
    uninterrupted, killed = args.folder / 'uninterrupted', args.folder / 'killed'
    seconds, memory = run_uninterrupted(config, uninterrupted)
    print(f'Uninterrupted: {seconds:.0f} s, {memory[-1] / 2**20:.0f} MiB', flush=True)
    longest = min(seconds, 15 + 3 * seconds * args.interval / args.iters)
    rng = random.Random(args.seed)
    hits = run_under_kills(config, killed, args.kills, longest, rng)
    print(f'{hits} kills hit the writing of a checkpoint')

    differing = compare(uninterrupted, killed, args.iters)
    print(f'Differences: {", ".join(differing[:10]) or "none"}')
    print(f'Growth of memory: {growth(memory):+.1%}')
    if differing or growth(memory) > ALLOWED_GROWTH:
        sys.exit('the soak test failed')


if __name__ == '__main__':
    main()
