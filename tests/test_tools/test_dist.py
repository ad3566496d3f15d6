"""Several processes, on one machine and on two, do what one process does."""

import json
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from test_resume import STAGE_2, soak
from test_train_test_tools import TOOLS, free_port, run_tool

from fmanet_mm.engine import read_checkpoint

ITERS, BATCH = 6, 6
# Seconds from a death to the end of all processes; loader workers look every 5.
PROMPT = 30
TRAINING = """\
_base_ = ['{base}']
custom_imports = dict(imports=['fmanet_mm.openmmlab', 'kill_hook'])
val_dataloader = None
val_cfg = None
val_evaluator = None
train_dataloader = dict(batch_size={batch})
default_hooks = dict(checkpoint=dict(save_best=None))
custom_hooks = {hooks}
"""
KILL_HOOK = """\
import multiprocessing, os, signal
from pathlib import Path
from mmengine.hooks import Hook
from mmagic.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    '''Kill process 1, or its loader worker, after an iteration.'''

    def __init__(self, iteration, loader_worker):
        self.iteration, self.loader_worker = iteration, loader_worker

    def after_train_iter(self, runner, batch_idx, **kwargs):
        if (runner.rank, batch_idx + 1) != (1, self.iteration):
            return
        (worker,) = multiprocessing.active_children()
        Path(runner.work_dir, 'killed').touch()
        os.kill(worker.pid if self.loader_worker else os.getpid(), signal.SIGKILL)
"""
TESTING = """\
test_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root='{data}',
        ann_file='test.txt',
        data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
        border='replicate',
    ),
)
test_evaluator = dict(
    metrics=[dict(type='VSRDBMetric'), dict(type='PSNR', prefix='MMagic')]
)
"""


@contextmanager
def launched(script, log, *arguments, **environment):
    """A running script; what it has started does not outlive the context."""
    with open(log, 'w') as output:
        process = subprocess.Popen(
            ['bash', TOOLS / script, *map(str, arguments)],
            env={
                **os.environ,
                'PYTHON': sys.executable,
                'PYTHONPATH': str(log.parent),
                'OMP_NUM_THREADS': '1',
                'CUDA_VISIBLE_DEVICES': '',
                **environment,
            },
            cwd=log.parent,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)


def run(script, log, *arguments, nodes=1):
    """Run a script on several nodes of the loopback; give the codes they end with."""
    port = free_port()
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                launched(
                    script, log.with_suffix(f'.{rank}'), *arguments,
                    NNODES=str(nodes), NODE_RANK=str(rank),
                    MASTER_ADDR='127.0.0.1', PORT=port,
                )
            )
            for rank in range(nodes)
        ]  # fmt: skip
        return [process.wait(240) for process in processes]


class Trainings:
    """Trainings in one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.base = soak.write_config(folder, ITERS, 2, workers=1, val_interval=ITERS)
        (folder / 'kill_hook.py').write_text(KILL_HOOK)

    def config(self, name, processes, hooks=()):
        config = self.folder / f'{name}_config.py'
        config.write_text(
            TRAINING.format(base=self.base, batch=BATCH // processes, hooks=list(hooks))
        )
        return config

    def __call__(self, name, *options, nodes=1, each=1, hooks=()):
        """Train on ``nodes`` machines of ``each`` processes."""
        config = self.config(name, nodes * each, hooks)
        return run(
            'dist_train.sh', self.log(name), config, each,
            '--work-dir', self.folder / name, *options, nodes=nodes,
        )  # fmt: skip

    def log(self, name):
        return self.folder / f'{name}.log'

    def output(self, name, node=0):
        return self.log(name).with_suffix(f'.{node}').read_text()

    def checkpoint(self, name):
        return read_checkpoint(str(self.folder / name / f'iter_{ITERS}.pth'))


@pytest.fixture(scope='module')
def trainings(tmp_path_factory):
    """One process and two nodes of one process, uninterrupted."""
    train = Trainings(tmp_path_factory.mktemp('dist'))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(train.folder)
        config = train.config('alone', 1)
        run_tool('train', config, '--work-dir', train.folder / 'alone')
    assert train('nodes', nodes=2) == [0, 0], train.output('nodes')
    return train


def losses(checkpoint):
    scalars = checkpoint['message_hub']['log_scalars']
    return {
        name: list(history.data[0])
        for name, history in scalars.items()
        if 'loss' in name
    }


def assert_close(one, other):
    expected = losses(other)
    assert len(expected) == 5
    for name, values in losses(one).items():
        assert values == pytest.approx(expected[name], rel=1e-5), name
    for name, weight in one['state_dict'].items():
        assert torch.allclose(weight, other['state_dict'][name], atol=1e-5), name


def test_two_nodes_train_as_one_process(trainings):
    assert_close(trainings.checkpoint('nodes'), trainings.checkpoint('alone'))


def test_three_processes_train_as_one(trainings):
    assert trainings('three', each=3) == [0], trainings.output('three')
    assert_close(trainings.checkpoint('three'), trainings.checkpoint('alone'))


def seconds_to_end(work_dir):
    """Wait for the end of all processes of a run in which one was killed."""
    killed = (work_dir / 'killed').stat().st_mtime
    while any(
        str(work_dir) in process.info['cmdline']
        for process in psutil.process_iter(['cmdline'])
        if process.info['cmdline']
    ):
        assert time.time() - killed < 2 * PROMPT
        time.sleep(0.1)
    return time.time() - killed


def test_a_death_ends_the_run_which_then_goes_on(trainings):
    """Of a process on one of two nodes, then of a loader worker on one machine."""
    work_dir = trainings.folder / 'killed'
    hook = dict(type='KillHook', iteration=3, loader_worker=False)
    codes = trainings('killed', nodes=2, hooks=[hook])
    assert seconds_to_end(work_dir) < PROMPT
    assert all(codes)
    assert 'SIGKILL' in trainings.output('killed', node=1)

    hook = dict(type='KillHook', iteration=5, loader_worker=True)
    codes = trainings('killed', '--resume', each=2, hooks=[hook])
    assert seconds_to_end(work_dir) < PROMPT
    assert all(codes)
    assert re.search(
        r'DataLoader worker .* (is killed by signal: Killed|exited unexpectedly)',
        trainings.output('killed'),
    )

    assert trainings('killed', '--resume', each=2) == [0], trainings.output('killed')
    assert 'iter_4.pth' in trainings.output('killed')
    found, expected = (trainings.checkpoint(name) for name in ('killed', 'nodes'))
    assert losses(found) == losses(expected)
    assert not soak.differences(found['state_dict'], expected['state_dict'])
    assert not soak.differences(found['optimizer'], expected['optimizer'])


def read(folder, name):
    (path,) = folder.glob(name)
    return json.loads(path.read_text())


def test_three_processes_measure_as_one(tmp_path):
    """11 frames for 3, some twice, in two clips of which 4 and 3 frames count."""
    data = tmp_path / 'data'
    soak.make_set(data)
    for frame in data.glob('*/**/001/00000005.png'):
        frame.unlink()
    (data / 'test.txt').write_text('000 6\n001 5\n')
    config = tmp_path / 'tested.py'
    config.write_text(
        STAGE_2.format(
            base=TOOLS.parent / 'configs/quickstart_stage2.py', stage_1='', data=data
        )
        + TESTING.format(data=data)
    )
    model = Config.fromfile(config).model
    model.net_d.init_cfg = None
    torch.manual_seed(0)
    weights = tmp_path / 'weights.pth'
    torch.save(MODELS.build(model).state_dict(), weights)

    options = ['--cfg-options', 'model.net_d.init_cfg=None', '--out']
    alone, together = tmp_path / 'alone', tmp_path / 'together'
    run_tool(
        'test', config, weights, '--work-dir', alone, *options, alone / 'metrics.json'
    )
    log = tmp_path / 'together.log'
    codes = run(
        'dist_test.sh', log, config, weights, 3,
        '--work-dir', together, *options, together / 'metrics.json',
    )  # fmt: skip
    assert codes == [0], log.with_suffix('.0').read_text()
    expected, found = (read(folder, 'metrics.json') for folder in (alone, together))
    # MMagic adds up in the order of the processes.
    psnr = expected.pop('MMagic/PSNR')
    assert found.pop('MMagic/PSNR') == pytest.approx(psnr, rel=1e-12)
    assert found == expected
    expected, found = (read(folder, '*/tested.json') for folder in (alone, together))
    assert found == expected
    assert [len(frames) for frames in found['frames'].values()] == [4, 3]
