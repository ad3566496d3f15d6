import json

import matplotlib.pyplot as plt
import pytest

from fmanet_mm.visualization import curves
from fmanet_mm.visualization.curves import plot_curves, read_log


def write_log(folder, time, entries):
    path = folder / time / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))
    return path


@pytest.fixture
def work_dir(tmp_path):
    first = [dict(step=step, loss=1 / step, time=0.1) for step in (1, 2, 3)]
    resumed = [dict(step=3, loss=0.25), dict(step=3, PSNR=27.5)]
    write_log(tmp_path, '20260101_000000', first)
    write_log(tmp_path, '20260102_000000', resumed)
    return tmp_path


def test_resumed_parts_replace_what_they_repeat(work_dir):
    assert read_log(work_dir) == dict(loss={1: 1.0, 2: 0.5, 3: 0.25}, PSNR={3: 27.5})


def test_folders_without_a_log_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'{tmp_path} holds no .*scalars.json'):
        read_log(tmp_path)


@pytest.mark.parametrize('line', ['{"step": 1, "lo', '[1]', '{"loss": 1}', '3'])
def test_damaged_lines_are_named(tmp_path, line):
    log = write_log(tmp_path, '20260101_000000', [dict(step=1, loss=1)])
    log.write_text(log.read_text() + line)
    with pytest.raises(ValueError, match=r'scalars\.json, line 2: expected'):
        read_log(tmp_path)


def test_every_number_gets_a_panel_with_all_trainings(work_dir, monkeypatch):
    figures = []
    monkeypatch.setattr(curves, 'save_figure', lambda figure, _: figures.append(figure))
    other = dict(loss={2: 0.7, 1: 0.9}, lr={1: 1e-3, 2: 1e-3})
    plot_curves(dict(a=read_log(work_dir), b=other), 'unused')
    plotted = {
        axis.get_title(): {
            line.get_label(): [tuple(pair) for pair in line.get_xydata().tolist()]
            for line in axis.lines
        }
        for axis in figures[0].axes
    }
    assert plotted['loss'] == dict(
        a=[(1, 1), (2, 0.5), (3, 0.25)], b=[(1, 0.9), (2, 0.7)]
    )
    assert plotted['PSNR'] == dict(a=[(3, 27.5)], b=[])
    assert plotted['lr']['b'] == [(1, 1e-3), (2, 1e-3)]
    plt.close('all')
