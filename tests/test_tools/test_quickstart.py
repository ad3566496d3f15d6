"""The quick start, with few iterations."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from fmanet_mm.video.reader import open_frames

REPO = Path(__file__).resolve().parents[2]
QUICKSTART = REPO / 'tools' / 'quickstart.py'
OPENMMLAB = ('mmagic', 'mmcv', 'mmflow', 'torchvision', 'diffusers')


def run(folder, *arguments, **options):
    return subprocess.run(
        [sys.executable, QUICKSTART, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        **options,
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('quickstart')


@pytest.mark.timeout(1800)
def test_restoring_needs_no_openmmlab(folder, tmp_path):
    # Such a package is found first, and fails.
    for name in OPENMMLAB:
        (tmp_path / f'{name}.py').write_text('raise ImportError(__name__)')
    environment = dict(PYTHONPATH=f'{tmp_path}:{REPO}', OMP_NUM_THREADS='1')
    result = run(folder, 'restore', env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    results = folder / 'work_dirs/quickstart'
    with open_frames(results / 'blurry') as blurry:
        shapes = [frame.shape for frame in blurry]
    with open_frames(results / 'restored') as restored:
        assert [frame.shape for frame in restored] == [
            (4 * height, 4 * width, 3) for height, width, _ in shapes
        ]
    height, width = cv2.imread(str(results / 'picture.png')).shape[:2]
    assert width > height > 500
    assert '<html' in (results / 'restored.html').read_text()
    assert 100_000 < (results / 'animation.webp').stat().st_size <= 1_000_000
    (line,) = {
        line.strip() for line in result.stdout.splitlines() if 'by bicubic' in line
    }
    gain = float(line.split(' restored: ')[1].split(' dB')[0])
    assert gain > 1
    assert 's  Restore it with the demo network' in result.stdout

    # What is finished is kept.
    before = (results / 'restored/00000000.png').stat().st_mtime_ns
    again = run(folder, 'restore')
    assert again.returncode == 0, again.stderr[-3000:]
    assert (results / 'restored/00000000.png').stat().st_mtime_ns == before


@pytest.mark.timeout(1800)
def test_fine_tuning_starts_from_the_demo(folder):
    check_training(folder, 'fine_tuned')


@pytest.mark.timeout(1800)
def test_from_scratch(folder):
    check_training(folder, 'from_scratch', '--from-scratch')


def check_training(folder, name, *options):
    result = run(folder, 'train', '--iters', '2', *options)
    assert result.returncode == 0, result.stderr[-3000:]
    results = folder / 'work_dirs' / 'quickstart'
    bicubic, demo, ours = (
        json.loads((results / f'{network}.json').read_text())
        for network in ('bicubic', 'demo', name)
    )
    assert 24 < bicubic['PSNR'] < 28
    assert demo['PSNR'] > bicubic['PSNR'] + 1
    if name == 'fine_tuned':
        # Two steps change little, but something.
        assert 0 < abs(ours['PSNR'] - demo['PSNR']) < 0.5
    # Whatever the numbers are, they are printed as they are.
    for metrics in (bicubic, demo, ours):
        for value in metrics.values():
            assert f'{value:.4f}' in result.stdout
    assert "OpenCV's DIS" in result.stdout

    height, width = cv2.imread(str(results / f'{name}.png')).shape[:2]
    assert width > height > 500
    blurry = min((folder / 'data/mini/val_blur_bicubic/X4').iterdir())
    with (
        open_frames(blurry) as source,
        open_frames(results / f'{name}.mp4') as restored,
    ):
        assert (restored.height, restored.width) == (
            4 * source.height,
            4 * source.width,
        )
        assert sum(1 for _ in restored) == source.num_frames


def test_missing_raft_weights_are_named(tmp_path):
    result = run(tmp_path, '--raft', 'nowhere.pth')
    assert result.returncode == 2
    assert 'nowhere.pth' in result.stderr
    assert not list(tmp_path.iterdir())
