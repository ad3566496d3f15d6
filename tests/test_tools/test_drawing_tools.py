import json
import re
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/demo/demo_stage1.py'


def run(monkeypatch, tool, *arguments):
    path = str(ROOT / f'tools/analysis_tools/{tool}.py')
    monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
    runpy.run_path(path, run_name='__main__')


def test_internals_of_two_networks(tmp_path, monkeypatch, capsys):
    checkpoint, out = tmp_path / 'iter_1.pth', tmp_path / 'new'
    model = MODELS.build(Config.fromfile(CONFIG).model)
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    beside = ['--beside', CONFIG, checkpoint]
    run(monkeypatch, 'draw_internals', CONFIG, checkpoint, out, '--index', 3, *beside)
    assert f'00000003/00000001 is plotted in {out}' in capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        'kernels.png',
        'flows.png',
        'features.png',
    }
    # The true flow of the synthetic scene is next to the learned one.
    columns = 4 + model.net_d.num_flows
    assert plt.imread(out / 'flows.png').shape[1] == 260 * columns


def test_curves_of_two_trainings(tmp_path, monkeypatch, capsys):
    for name in ('one', 'other'):
        log = tmp_path / name / '20260101_000000/vis_data/scalars.json'
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps(dict(step=1, loss=0.5, time=1)))
    out = tmp_path / 'curves.png'
    run(monkeypatch, 'draw_curves', tmp_path / 'one', tmp_path / 'other', '--out', out)
    assert f'The curves are in {out}' in capsys.readouterr().out
    assert plt.imread(out).shape == (300, 500, 4)


def test_samples_of_one_window(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'samples.png'
    config = ROOT / 'configs/demo/demo_real_stage2.py'
    options = ['--number', 2, '--index', 5, '--cfg-options']
    size = 'train_dataloader.dataset.size=(16,24)'
    run(monkeypatch, 'draw_samples', config, out, *options, size)
    assert f'00000005/00000001 is plotted in {out}' in capsys.readouterr().out
    # Two inputs and the sharp frame.
    assert plt.imread(out).shape[:2] == (230, 900)


def test_limits_of_a_network(tmp_path, monkeypatch, capsys):
    weights = ROOT / 'configs/demo/fmanet_demo.safetensors'
    options = ['--scenes', 1, '--size', 16, 24]
    run(monkeypatch, 'draw_limits', weights, tmp_path / 'new', *options)
    lines = capsys.readouterr().out.splitlines()
    rows = [re.split(r' *\| *', line)[1:-1] for line in lines if ' px ' in line]
    assert [row[0] for row in rows[:4]] == ['2 px', '4 px', '8 px', '16 px']
    for _, bicubic, restored, gain in rows:
        assert abs(float(restored) - float(bicubic) - float(gain)) < 0.011
    # Faster motion is more difficult.
    assert float(rows[0][2]) > float(rows[2][2])
    # Rows of four pictures of 64 x 96 HR pixels, 4 inches wide, and their titles.
    for name, number in (('motion', 3), ('failures', 4)):
        height, width = plt.imread(tmp_path / f'new/{name}.jpg').shape[:2]
        assert width == 1600
        assert height == pytest.approx(number * (400 * 64 / 96 + 30), abs=1)


def test_sources_of_flow_are_compared(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'flow.json'
    sizes = ['--windows', 3, '--held-out', 2, '--size', 24, '--patch', 16]
    run(
        *(monkeypatch, 'compare_flow_sources', *sizes),
        *('--iters', 2, '--batch', 1, '--seeds', 0, 1, '--out', out),
    )
    results = json.loads(out.read_text())
    assert [*results] == ['exact', 'DIS']
    assert results['exact']['own'] == 0 < results['DIS']['own']
    for found in results.values():
        assert len(found['learned']) == 2
    assert '| exact | 0.00 |' in capsys.readouterr().out
