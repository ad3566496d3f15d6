"""Nothing in a checkpoint is executed, unless it is trusted."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from test_train_test_tools import AFTER_2, AFTER_3, CONFIG, run_tool, weight


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint of two iterations, as a run writes it."""
    work_dir = tmp_path_factory.mktemp('trained')
    run_tool('train', CONFIG, '--work-dir', work_dir)
    return torch.load(work_dir / 'iter_2.pth', weights_only=False)


@pytest.fixture
def victim(tmp_path):
    return tmp_path / 'made_by_the_checkpoint'


@pytest.fixture
def malicious(tmp_path, checkpoint, victim):
    path = tmp_path / 'malicious_2.pth'
    torch.save({**checkpoint, 'extra': Malicious(victim)}, path)
    return path


def train_with(checkpoint, tmp_path, *options):
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path / 'run', *options,
        '--cfg-options', 'train_cfg.max_iters=3', f'load_from={checkpoint}',
    )  # fmt: skip


def test_the_checkpoint_is_malicious(malicious, victim):
    torch.load(malicious, weights_only=False)
    assert victim.exists()


@pytest.mark.parametrize(
    'use',
    [
        lambda path, folder: train_with(path, folder),
        lambda path, folder: train_with(path, folder, '--resume', path),
        lambda path, folder: run_tool('test', CONFIG, path, '--work-dir', folder),
    ],
    ids=['load_from', 'resume', 'test'],
)
def test_pickled_code_is_not_executed(malicious, victim, tmp_path, use):
    with pytest.raises(
        ValueError, match='malicious_2.pth .*other objects than weights'
    ):
        use(malicious, tmp_path)
    assert not victim.exists()


def test_finding_a_checkpoint_to_resume_executes_nothing(malicious, victim, tmp_path):
    with pytest.raises(FileNotFoundError, match='malicious_2.pth.*other objects'):
        run_tool('train', CONFIG, '--work-dir', malicious.parent, '--resume')
    assert not victim.exists()


def test_trusted_checkpoints_may_hold_anything(malicious, victim, tmp_path):
    train_with(malicious, tmp_path, '--resume', malicious, '--trust-checkpoint')
    assert weight(tmp_path / 'run' / 'iter_3.pth') == pytest.approx(AFTER_3)
    assert victim.exists()


@pytest.mark.parametrize('trust', [[], ['--trust-checkpoint']])
def test_the_text_of_a_config_is_not_executed(checkpoint, victim, tmp_path, trust):
    text = f'import pathlib\npathlib.Path({str(victim)!r}).touch()\n'
    path = tmp_path / 'malicious.pth'
    meta = {**checkpoint['meta'], 'config': text, 'cfg': text}
    torch.save({**checkpoint, 'meta': meta}, path)
    train_with(path, tmp_path, '--resume', path, *trust)
    assert weight(tmp_path / 'run' / 'iter_3.pth') == pytest.approx(AFTER_3)
    assert not victim.exists()


@pytest.fixture
def safetensors(checkpoint, tmp_path):
    path = tmp_path / 'weights.safetensors'
    save_file(checkpoint['state_dict'], path)
    return path


def test_safetensors_are_taken_as_weights(safetensors, tmp_path):
    train_with(safetensors, tmp_path)
    first = tmp_path / 'run' / 'iter_1.pth'
    assert weight(first) == pytest.approx(AFTER_3)
    out = tmp_path / 'metrics.json'
    run_tool('test', CONFIG, safetensors, '--work-dir', tmp_path, '--out', out)
    assert f'{AFTER_2 - 1:.4f}' in out.read_text()


def test_a_run_cannot_go_on_from_weights_alone(safetensors, tmp_path):
    with pytest.raises(ValueError, match='holds no meta, .*--from .*weights.safe'):
        train_with(safetensors, tmp_path, '--resume', safetensors)


def test_a_damaged_checkpoint_is_skipped(checkpoint, tmp_path):
    for number in (1, 2):
        torch.save(checkpoint, tmp_path / f'iter_{number}.pth')
    os.truncate(tmp_path / 'iter_2.pth', 1000)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_2.pth'))
    run_tool(
        'train', CONFIG, '--work-dir', tmp_path, '--resume',
        '--cfg-options', 'train_cfg.max_iters=3',
    )  # fmt: skip
    assert weight(tmp_path / 'iter_3.pth') == pytest.approx(AFTER_3)
