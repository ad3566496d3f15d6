"""Files that systems and editors leave in a set are ignored by all tools."""

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets import REDSVSRDBDataset
from fmanet_mm.datasets.check import check_datasets
from fmanet_mm.datasets.photos import find_photos
from fmanet_mm.evaluation import evaluate_folders
from fmanet_mm.flow import generate_flow
from fmanet_mm.preparation.gopro import prepare_gopro
from fmanet_mm.preparation.reds import prepare_reds
from fmanet_mm.preparation.video_to_vsrdb import VSRDBRecipe, convert_videos

CLIPS, LENGTH, LR, HR = ('000', '001'), 3, (24, 32), (96, 128)


def add_clutter(folder, frames=()):
    """Add what a Mac, Windows and Jupyter leave in a folder."""
    for name in ('.DS_Store', 'Thumbs.db', *(f'._{frame}' for frame in frames)):
        (folder / name).write_bytes(b'\0\5\x16\7\0\2\0\0Mac OS X')
    (folder / '.ipynb_checkpoints').mkdir()


def write_clips(folder, size, inside='', first=0, digits=8):
    """Write the clips of a kind, with clutter at every level."""
    rng = np.random.default_rng(0)
    for clip in CLIPS:
        path = folder / clip / inside
        path.mkdir(parents=True)
        names = [f'{first + number:0{digits}d}.png' for number in range(LENGTH)]
        for name in names:
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            cv2.imwrite(str(path / name), image)
        add_clutter(path, names)
        if inside and not (path.parent / '.DS_Store').exists():
            add_clutter(path.parent)
    if not (folder / '.DS_Store').exists():
        add_clutter(folder)
    return folder


@pytest.fixture
def reds(tmp_path):
    root = tmp_path / 'set'
    write_clips(root / 'train_sharp', HR)
    write_clips(root / 'train_blur_bicubic/X4', LR)
    write_clips(root / 'train_sharp_bicubic/X4', LR)
    return root


PREFIX = dict(img='train_blur_bicubic/X4', gt='train_sharp', flow='train_flow/X4')


def test_flow_and_datasets(reds):
    flow = reds / 'train_flow/X4'
    estimator = dict(type='DISFlowEstimator')
    assert generate_flow(reds / 'train_sharp_bicubic/X4', flow, estimator) == 8
    add_clutter(flow / '000', ['00000000_00000001.npy'])
    config = dict(data_root=str(reds), data_prefix=PREFIX)
    assert len(REDSVSRDBDataset(**config)) == len(CLIPS)
    report = check_datasets([dict(type='REDSVSRDBDataset', **config)])
    assert report.passed and report.num_clips == len(CLIPS)


def test_prepare_reds(reds):
    files = prepare_reds(reds, {'train': len(CLIPS)}, LENGTH, HR)
    assert files['train'].read_text() == '001 3\n'


def test_evaluate_folders(reds, tmp_path):
    results = write_clips(tmp_path / 'results', HR)
    report = evaluate_folders(results, reds / 'train_sharp', motion=None)
    assert [*report.frames] == [*CLIPS]
    one = evaluate_folders(results / '000', reds / 'train_sharp/000', motion=None)
    assert one.overall()['frames'] == LENGTH - 2


def test_prepare_gopro(tmp_path):
    for kind in ('blur', 'sharp'):
        write_clips(tmp_path / 'test', HR, inside=kind, first=47, digits=6)
    files = prepare_gopro(tmp_path, counts={'test': (len(CLIPS), 6)})
    assert files['test'].read_text() == '000 3\n001 3\n'


def test_photos_and_videos(reds, tmp_path):
    photos = tmp_path / 'photos'
    write_clips(photos, (128, 128))
    assert len(find_photos([photos / '000'], shipped=False)) == LENGTH
    recipe = VSRDBRecipe(sub_frames=3, min_clip_length=1, scale=4)
    out = tmp_path / 'out'
    sources = [reds / 'train_sharp/000']
    clips = convert_videos(sources, out, recipe)
    # More clutter is no other source.
    (sources[0] / '._new.png').write_bytes(b'new')
    add_clutter(out)
    assert convert_videos(sources, out, recipe) == clips
    assert (out / 'train.txt').read_text() == '000_000 1\n'
