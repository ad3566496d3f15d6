"""REDS in its official folders, in small."""

import os
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets import REDSVSRDBDataset
from fmanet_mm.preparation import reds as module
from fmanet_mm.preparation.reds import check_png, prepare_reds
from fmanet_mm.utils.annotation import read_annotation

SIZE = (16, 32)
SPLITS = {'train': 22, 'val': 2}
LENGTH = 4
TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/reds/prepare_reds.py'


def png(height, width):
    return cv2.imencode('.png', np.zeros((height, width, 3), np.uint8))[1].tobytes()


@pytest.fixture(params=['flat', 'as unpacked'])
def reds(tmp_path, request):
    """All kinds; the archives have them inside of a folder train or val."""
    for split, count in SPLITS.items():
        root = tmp_path if request.param == 'flat' else tmp_path / split
        for kind, image in (
            ('sharp', png(*SIZE)),
            ('blur_bicubic/X4', png(4, 8)),
            ('sharp_bicubic/X4', png(4, 8)),
        ):
            for clip in range(count):
                folder = root / f'{split}_{kind}/{clip:03d}'
                folder.mkdir(parents=True)
                for frame in range(LENGTH):
                    (folder / f'{frame:08d}.png').write_bytes(image)
    return tmp_path


def prepare(root):
    return prepare_reds(root, SPLITS, LENGTH, SIZE)


def test_annotation_files(reds):
    files = prepare(reds)
    assert files == {name: reds / f'{name}.txt' for name in ('train', 'val', 'REDS4')}
    clips = {name: read_annotation(file) for name, file in files.items()}
    assert [*clips['REDS4']] == ['000', '011', '015', '020']
    assert len(clips['train']) == 18 and not clips['train'].keys() & clips['REDS4']
    assert [*clips['val']] == ['000', '001']
    assert set(clips['train'].values()) == {LENGTH}


def test_folders_are_where_the_configs_look_and_nothing_is_copied(reds):
    prepare(reds)
    dataset = REDSVSRDBDataset(
        data_root=str(reds),
        data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
        ann_file='REDS4.txt',
    )
    assert len(dataset) == 4 * (LENGTH - 2)
    for kind in ('sharp', 'blur_bicubic', 'sharp_bicubic'):
        folder = reds / f'train_{kind}'
        if folder.is_symlink():
            assert os.readlink(folder) == f'train/train_{kind}'
            assert (reds / 'train').is_dir()
    before = sorted(reds.rglob('*'))
    prepare(reds)
    assert sorted(reds.rglob('*')) == before


def test_published_numbers():
    """266 training clips in all, 98 measured frames in each of REDS4."""
    assert (module.SPLITS, module.CLIP_LENGTH) == ({'train': 240, 'val': 30}, 100)
    assert module.FRAME_SIZE == (720, 1280)
    assert sum(module.SPLITS.values()) - len(module.REDS4) == 266


def find(reds, name):
    (path,) = (path for path in reds.rglob('*') if str(path).endswith(name))
    return path


def test_everything_that_differs_is_told(reds):
    find(reds, 'train_sharp/003/00000002.png').unlink()
    find(reds, 'val_sharp/000/00000001.png').write_bytes(png(16, 30))
    cut = find(reds, 'blur_bicubic/X4/017/00000000.png')
    cut.write_bytes(cut.read_bytes()[:-3])
    find(reds, 'val_sharp_bicubic/X4/001/00000000.png').write_text('no image')
    find(reds, 'val_blur_bicubic/X4/001').rename(reds / 'elsewhere')
    find(reds, 'train_sharp_bicubic/X4').joinpath('240').mkdir()
    with pytest.raises(ValueError) as error:
        prepare(reds)
    told = str(error.value).splitlines()
    assert '6 things differ' in told[0] and len(told) == 8
    for end in (
        'train_sharp/003 has 3 of 4 frames; it lacks 1, the first is 00000002.png',
        '000/00000001.png has (H, W) = (16, 30) instead of (16, 32)',
        '017/00000000.png is truncated',
        '001/00000000.png is not a PNG',
        'val_blur_bicubic/X4 has 1 of 2 clips; it lacks 1, the first is 001',
        'X4 has 23 of 22 clips; it also has 1, the first is 240',
    ):
        assert any(line.endswith(end) for line in told), end
    assert not [*reds.glob('*.txt')]


def test_long_lists_are_cut(reds):
    for path in find(reds, 'train_sharp').rglob('*.png'):
        path.write_bytes(png(4, 8))
    with pytest.raises(ValueError, match=r'88 things differ(.|\n)*and 78 more'):
        prepare(reds)


def test_missing_archive_is_named(reds):
    find(reds, 'val_sharp_bicubic').rename(reds / 'elsewhere')
    with pytest.raises(FileNotFoundError, match='val_sharp_bicubic.zip of REDS'):
        prepare(reds)


def test_one_split(reds):
    assert prepare_reds(reds, {'val': 2}, LENGTH, SIZE).keys() == {'val'}


def test_sound_png(tmp_path):
    path = tmp_path / 'a.png'
    path.write_bytes(png(4, 8))
    assert check_png(path, (4, 8)) is None
    assert check_png(path, (8, 4)) == f'{path} has (H, W) = (4, 8) instead of (8, 4)'


def test_tool(reds, monkeypatch, capsys):
    monkeypatch.setattr(module, 'SPLITS', SPLITS)
    defaults = (SPLITS, LENGTH, SIZE)
    monkeypatch.setattr(module.prepare_reds, '__defaults__', defaults)
    monkeypatch.setattr(sys, 'argv', [str(TOOL), str(reds)])
    runpy.run_path(str(TOOL), run_name='__main__')
    told = capsys.readouterr().out
    assert f'{reds}/train.txt: 18 clips, 72 frames' in told
    assert f'{reds}/REDS4.txt: 4 clips, 16 frames' in told
    assert '--sharp-lr val_sharp_bicubic/X4 --out val_flow/X4' in told
