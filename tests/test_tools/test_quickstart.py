"""The whole way from a real clip to a restored video, with few iterations."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from fmanet_mm.video.reader import open_frames

QUICKSTART = Path(__file__).resolve().parents[2] / 'tools' / 'quickstart.py'


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, QUICKSTART, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.timeout(900)
def test_from_a_real_clip_to_a_restored_video(tmp_path):
    result = run(tmp_path, '--iters', '2')
    assert result.returncode == 0, result.stderr[-3000:]
    results = tmp_path / 'work_dirs' / 'quickstart'

    bicubic, ours, demo = (
        json.loads((results / f'{name}.json').read_text())
        for name in ('bicubic', 'fmanet', 'demo')
    )
    assert 24 < bicubic['PSNR'] < 28
    assert ours['PSNR'] != bicubic['PSNR']
    # The weights that the project ships are trained.
    assert demo['PSNR'] > bicubic['PSNR'] + 0.1
    # Whatever the numbers are, they are printed as they are.
    for metrics in (bicubic, ours, demo):
        for value in metrics.values():
            assert f'{value:.4f}' in result.stdout
    assert "OpenCV's DIS" in result.stdout

    height, width = cv2.imread(str(results / 'comparison.png')).shape[:2]
    assert width > height > 500
    blurry = tmp_path / 'data/mini/val_blur_bicubic/X4'
    for name in ('restored', 'restored_by_demo'):
        with (
            open_frames(min(blurry.iterdir())) as source,
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
