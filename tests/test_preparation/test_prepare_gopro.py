"""GoPro in its official tree, in small."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmagic.datasets.transforms import MATLABLikeResize

from fmanet_mm.datasets import GoProVSRDBDataset
from fmanet_mm.preparation import gopro as module
from fmanet_mm.preparation.gopro import prepare_gopro

CLIPS = {'GOPR0384_11_00': (1, 3), 'GOPR0410_11_00': (3999, 4)}
COUNTS = {'test': (2, 7), 'train': (1, 3)}
TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/gopro/prepare_gopro.py'


@pytest.fixture
def gopro(tmp_path):
    rng = np.random.default_rng(0)
    for split, clips in (('test', CLIPS), ('train', {'GOPR0372_07_00': (47, 3)})):
        for clip, (first, number) in clips.items():
            for kind in ('blur', 'blur_gamma', 'sharp'):
                folder = tmp_path / split / clip / kind
                folder.mkdir(parents=True)
                for frame in range(first, first + number):
                    image = rng.integers(0, 256, (32, 48, 3), np.uint8)
                    cv2.imwrite(str(folder / f'{frame:06d}.png'), image)
    return tmp_path


def prepare(root, **options):
    return prepare_gopro(root, counts=COUNTS, **options)


def files(root, pattern='*.png'):
    return {str(path.relative_to(root)) for path in root.rglob(pattern)}


def assert_shrunk(small, large):
    image = cv2.imread(str(large)).astype(np.float64) / 255
    resize = MATLABLikeResize(keys=['img'], output_shape=(8, 12))
    expected = 255 * resize(dict(img=image))['img']
    difference = cv2.imread(str(small)) - expected.clip(0, 255)
    assert np.abs(difference).max() <= 0.5 + 1e-3


@pytest.mark.parametrize('num_processes', [1, 2])
def test_low_resolution_frames_are_those_of_matlab(gopro, read_rgb, num_processes):
    before = files(gopro)
    made = prepare(gopro, num_processes=num_processes)
    assert made == {'test': gopro / 'test.txt'}
    assert made['test'].read_text() == 'GOPR0384_11_00 3\nGOPR0410_11_00 4\n'
    expected = {
        f'test_{kind}_bicubic/X4/{clip}/{number:06d}.png'
        for kind in ('blur', 'sharp')
        for clip, (first, count) in CLIPS.items()
        for number in range(first, first + count)
    }
    assert files(gopro) - before == expected
    for kind in ('blur', 'sharp'):
        assert_shrunk(
            gopro / f'test_{kind}_bicubic/X4/GOPR0410_11_00/004001.png',
            gopro / f'test/GOPR0410_11_00/{kind}/004001.png',
        )


def test_the_dataset_reads_it(gopro):
    prepare(gopro)
    dataset = GoProVSRDBDataset(
        data_root=str(gopro),
        ann_file='test.txt',
        data_prefix=dict(
            img='test_blur_bicubic/X4',
            img_sharp='test_sharp_bicubic/X4',
            gt='test/{clip}/sharp',
        ),
    )
    assert len(dataset) == 3


def test_frames_that_are_there_are_kept(gopro):
    prepare(gopro)
    folder = gopro / 'test_blur_bicubic/X4/GOPR0384_11_00'
    kept, gone = folder / '000001.png', folder / '000002.png'
    content = gone.read_bytes()
    kept.write_bytes(b'mine')
    gone.unlink()
    prepare(gopro)
    assert kept.read_bytes() == b'mine' and gone.read_bytes() == content


def test_a_stopped_run_leaves_no_broken_frame(gopro, monkeypatch):
    bad = gopro / 'test/GOPR0410_11_00/blur/004000.png'
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(ValueError, match=f'{bad} cannot be'):
        prepare(gopro)
    assert not (gopro / 'test.txt').exists()
    for name in files(gopro / 'test_blur_bicubic'):
        assert cv2.imread(str(gopro / 'test_blur_bicubic' / name)).shape == (8, 12, 3)
    assert 'X4/GOPR0410_11_00/004000.png' not in files(gopro / 'test_blur_bicubic')


def test_other_blur_and_scale_go_to_other_folders(gopro):
    prepare(gopro, splits=['train'], blur='blur_gamma', scale=2)
    path = gopro / 'train_blur_gamma_bicubic/X2/GOPR0372_07_00/000047.png'
    assert cv2.imread(str(path)).shape == (16, 24, 3)
    assert (gopro / 'train.txt').read_text() == 'GOPR0372_07_00 3\n'
    assert not (gopro / 'test.txt').exists()


def test_official_numbers(gopro):
    assert module.SPLITS == {'test': (11, 1111), 'train': (22, 2103)}
    with pytest.raises(ValueError, match='2 clips with 7 frames; .* 11 with 1,111'):
        prepare_gopro(gopro)
    assert files(gopro, '*bicubic*') == set()


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(splits=['val']), "splits must be from .*'val'"),
        (dict(splits=[]), 'splits must be'),
        (dict(blur='motion'), "blur must be one of .*'motion'"),
        (dict(scale=1), 'scale must be at least 2, got 1'),
        (dict(num_processes=0), 'num_processes must be at least 1, got 0'),
        (dict(scale=5), r'blur/000001.png cannot be .*scale 5.*\(32, 48\)'),
    ],
)
def test_wrong_arguments(gopro, options, named):
    with pytest.raises(ValueError, match=named):
        prepare(gopro, **options)


def test_gaps_are_named(gopro):
    sharp = gopro / 'test/GOPR0384_11_00/sharp'
    (sharp / '000002.png').unlink()
    with pytest.raises(ValueError, match='3 frames in blur/ and 2 .*000002.png'):
        prepare(gopro)
    sharp.rename(sharp.with_name('Sharp'))
    with pytest.raises(FileNotFoundError, match=f'no folder {sharp}'):
        prepare(gopro)
    with pytest.raises(FileNotFoundError, match='no folder .*gone/test.*GOPRO_Large'):
        prepare(gopro / 'gone')


def test_tool(gopro, monkeypatch, capsys):
    monkeypatch.setattr(
        module.prepare_gopro, '__defaults__', (('test',), 'blur', 4, 1, COUNTS)
    )
    arguments = [gopro, '--splits', 'test', 'train', '--num-processes', '1']
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')
    told = capsys.readouterr().out
    assert f'{gopro}/test.txt: 2 clips, 7 frames' in told
    assert f'{gopro}/train.txt: 1 clips, 3 frames' in told
