"""The command line of tools/generate_flow.py."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / 'tools/generate_flow.py'


@pytest.fixture
def data_root(tmp_path):
    folder = tmp_path / 'train_sharp_bicubic/X4/000'
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (24, 24, 3), np.uint8)
    for index in range(3):
        cv2.imwrite(str(folder / f'{index:08d}.png'), cv2.blur(noise, (3, 3)))
    (tmp_path / 'train.txt').write_text('000 3\n')
    return tmp_path


@pytest.fixture
def run(monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return call


def test_writes_and_resumes(data_root, run, capsys):
    arguments = ['--data-root', data_root, '--method', 'dis', '--ann-file', 'train.txt']
    run(*arguments, '--dtype', 'float32')
    told = capsys.readouterr().out
    assert 'DISFlowEstimator' in told and '4 flow files written' in told
    files = sorted((data_root / 'train_flow/X4/000').iterdir())
    assert len(files) == 4
    assert np.load(files[0]).dtype == np.float32
    files[1].unlink()
    run(*arguments, '--dtype', 'float32')
    assert '1 flow files written' in capsys.readouterr().out


def test_estimator_of_a_config_file(data_root, run, tmp_path, capsys):
    config = tmp_path / 'own.py'
    config.write_text("flow_estimator = dict(type='DISFlowEstimator', preset='fast')")
    arguments = ['--data-root', data_root, '--config', config, '--num-frames', 5]
    run(*arguments, '--out', 'other')
    assert "'fast'" in capsys.readouterr().out
    assert len(list((data_root / 'other/000').iterdir())) == 6


def test_errors_are_told(data_root, run, tmp_path, capsys):
    missing = tmp_path / 'no_weights.pth'
    raft = ['--raft-config', 'raft_small', '--raft-checkpoint', missing]
    with pytest.raises(FileNotFoundError, match=str(missing)):
        run('--data-root', data_root, *raft)
    assert not (data_root / 'train_flow').exists()
    with pytest.raises(SystemExit):
        run('--data-root', data_root, '--method', 'dis', *raft)
    assert '--method raft' in capsys.readouterr().err
