"""The command that checks a set."""

import importlib.util
import json
import sys

import pytest
from test_train_test_tools import TOOLS

from fmanet_mm.datasets import check

TOOL = TOOLS / 'analysis_tools/check_dataset.py'
spec = importlib.util.spec_from_file_location('soak', TOOLS / 'analysis_tools/soak.py')
soak = importlib.util.module_from_spec(spec)
spec.loader.exec_module(soak)


@pytest.fixture
def data(tmp_path):
    """Two clips of 6 frames each."""
    soak.make_set(tmp_path / 'data')
    return tmp_path / 'data'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run the command; gives the exit status, the output and the report."""
    out = tmp_path / 'new' / 'report.json'

    def run(*arguments):
        spec = importlib.util.spec_from_file_location('check_dataset', TOOL)
        tool = importlib.util.module_from_spec(spec)
        arguments = ['--out', out, '--processes', 1, *arguments]
        monkeypatch.setattr(sys, 'argv', ['check_dataset.py', *map(str, arguments)])
        spec.loader.exec_module(tool)
        try:
            tool.main()
            status = 0
        except SystemExit as end:
            status = end.code
        report = json.loads(out.read_text()) if out.exists() else None
        return status, capsys.readouterr(), report

    return run


def test_sound_folder(run, data):
    status, text, report = run('--data-root', data, '--ann-file', 'train.txt')
    assert status == 0
    assert report == dict(num_clips=2, num_files=52, complete=True, faults=[])
    assert text.out.startswith('2 clips, 52 files read, 0 faults. Report: ')


def test_faults_are_shown_and_written(run, data, monkeypatch):
    bad = [data / f'train_sharp/000/0000000{number}.png' for number in (1, 4)]
    for path in bad:
        path.write_bytes(b'')
    status, text, report = run('--data-root', data)
    assert status == 1
    assert [fault['path'] for fault in report['faults']] == [str(path) for path in bad]
    assert text.out.splitlines()[:2] == [
        f'- frame {path} cannot be read as an image; it is damaged or cut off'
        for path in bad
    ]


def test_sets_of_a_config(run, tmp_path):
    config = soak.write_config(tmp_path, 1, 1, 0, 1)
    status, _, report = run(config)
    assert status == 0
    assert (report['num_clips'], report['num_files']) == (2, 52)
    name = tmp_path / 'data/train_flow/X4/001/00000001_00000002.npy'
    name.unlink()
    assert run(config, '--loaders', 'val_dataloader')[0] == 0
    status, _, report = run(config, '--loaders', 'train_dataloader')
    assert status == 1
    assert [fault['path'] for fault in report['faults']] == [str(name)]


def test_nothing_on_disk(run):
    status, text, report = run(TOOLS.parent / 'configs/fmanet_stage1_synthetic.py')
    assert (status, report) == (0, None)
    assert 'reads no VSRDB set from disk' in text.out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'name either a config or --data-root'),
        (['gone.py'], 'there is no file gone.py'),
        (['--data-root', 'x', '--processes', '0'], 'at least 1'),
    ],
)
def test_wrong_arguments(run, arguments, message):
    status, text, _ = run(*arguments)
    assert status == 2
    assert message in text.err


def test_ctrl_c(run, data, monkeypatch):
    def interrupted(kinds, num_processes):
        yield next(iter(kinds)), 'This one is damaged.'
        raise KeyboardInterrupt

    monkeypatch.setattr(check, '_measure_all', interrupted)
    status, text, report = run('--data-root', data)
    assert status == 130
    assert 'Interrupted: the other files were not read' in text.out
    assert [fault['problem'] for fault in report['faults']] == ['This one is damaged.']
    assert (report['complete'], report['num_files']) == (False, 1)
