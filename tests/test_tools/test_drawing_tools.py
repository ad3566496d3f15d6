import json
import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
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
