"""Loader workers that die or hang in the middle of training."""

import os
import re
import subprocess
import sys

import pytest
from test_train_test_tools import CONFIG, HERE, TOOLS

FAULTY_SET = """\
import os, signal, time
from mmagic.registry import DATASETS
from toy_project import ToyDataset


@DATASETS.register_module()
class FaultySet(ToyDataset):
    loaded = 0

    def __getitem__(self, index):
        self.loaded += 1
        if self.loaded == 50:
            {fault}
        return super().__getitem__(index)
"""
SETTINGS = """\
_base_ = ['{base}']
custom_imports = dict(imports=['toy_project', 'faulty_set'])
train_dataloader = dict(dataset=dict(type='FaultySet'), num_workers=2, timeout=5)
train_cfg = dict(_delete_=True, type='ResumableTrainLoop', max_iters=100_000)
default_hooks = dict(checkpoint=dict(interval=20))
"""
FAULTS = {
    'killed': (
        'os.kill(os.getpid(), signal.SIGKILL)',
        r'.*DataLoader worker .* (is killed by signal: Killed|exited unexpectedly)',
    ),
    'hangs': ('time.sleep(1e6)', 'DataLoader timed out after 5 seconds'),
}


@pytest.mark.parametrize('name', FAULTS)
def test_training_ends_with_an_error(tmp_path, name):
    fault, message = FAULTS[name]
    (tmp_path / 'faulty_set.py').write_text(FAULTY_SET.format(fault=fault))
    config = tmp_path / 'config.py'
    config.write_text(SETTINGS.format(base=CONFIG))
    result = subprocess.run(
        [sys.executable, TOOLS / 'train.py', config, '--work-dir', tmp_path / 'run'],
        env={
            **os.environ,
            'PYTHONPATH': os.pathsep.join(map(str, (TOOLS.parent, HERE, tmp_path))),
            'CUDA_VISIBLE_DEVICES': '',
        },
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 1
    # The other worker may still say that it ends, and one that is killed while it hands
    # over a batch breaks the connection before it is known to be dead.
    assert re.search(f'^RuntimeError: {message}', result.stderr, re.MULTILINE)
    assert (tmp_path / 'run' / 'iter_20.pth').exists()
