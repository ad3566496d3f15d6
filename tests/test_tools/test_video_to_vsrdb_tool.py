"""The command line of tools/dataset_converters/video_to_vsrdb.py."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/video_to_vsrdb.py'


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'street'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        frame = rng.integers(0, 256, (96, 104, 3), np.uint8)
        cv2.imwrite(str(folder / f'{index:08d}.png'), frame)
    return folder


@pytest.fixture
def run(monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return call


def test_every_option_arrives(source, run, tmp_path, capsys):
    out = tmp_path / 'set'
    options = dict(
        sub_frames=3,
        stride=4,
        scale=3,
        downscale=2,
        clip_length=5,
        min_clip_length=2,
        held_out=0.4,
    )
    arguments = [
        text
        for name, value in options.items()
        for text in (f'--{name.replace("_", "-")}', value)
    ]
    run(source, '--out', out, '--linear-light', *arguments)
    told = capsys.readouterr().out
    assert 'train: 1 clips, 5 frames' in told
    assert 'val: 1 clips, 4 frames' in told and str(out) in told
    info = json.loads((out / 'vsrdb_info.json').read_text())
    del info['sources']
    assert info == {**options, 'linear_light': True}
    assert (out / 'val_blur_bicubic/X3/street_001/00000003.png').is_file()


def test_defaults(source, run, tmp_path):
    out = tmp_path / 'set'
    run(source, '--out', out, '--sub-frames', 5)
    info = json.loads((out / 'vsrdb_info.json').read_text())
    assert info['stride'] == 5 and info['scale'] == 4 and not info['linear_light']
    assert (out / 'train.txt').read_text() == 'street_000 8\n'
    assert not (out / 'val.txt').exists()


def test_help_shows_the_example_and_the_defaults(run, capsys):
    with pytest.raises(SystemExit):
        run('--help')
    told = capsys.readouterr().out
    assert '--out data/own \\\n        --sub-frames 7 --stride 8' in told
    assert 'default: 100' in told and 'default: None' not in told


def test_errors_are_told(source, run, tmp_path):
    out = tmp_path / 'set'
    with pytest.raises(FileNotFoundError, match='no_video.mp4'):
        run(source, tmp_path / 'no_video.mp4', '--out', out, '--sub-frames', 5)
    with pytest.raises(ValueError, match='odd'):
        run(source, '--out', out, '--sub-frames', 4)
    assert not out.exists()
