"""Making REDS-ME from frames of a high rate."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets import REDSMEDataset
from fmanet_mm.preparation.reds_me import MultiExposureRecipe
from fmanet_mm.preparation.video_to_vsrdb import Source, convert_videos
from fmanet_mm.utils.degradation import bicubic_downsample

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/reds_me/prepare_reds_me.py'


@pytest.fixture
def source(tmp_path):
    """A folder of 32 frames of noise, and the frames."""
    folder = tmp_path / '004'
    folder.mkdir()
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (66, 72, 3), np.uint8) for _ in range(32)]
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f'{index:08d}.png'), frame[..., ::-1])
    return folder, frames


def read(path):
    return cv2.imread(str(path))[..., ::-1]


def expected_blur(frames):
    """Mean of pixel values, rounded half up, then downsampled."""
    mean = np.mean([frame[1:65].astype(np.float64) for frame in frames], axis=0)
    return bicubic_downsample(np.floor(mean + 0.5).astype(np.uint8), 4)


@pytest.mark.parametrize(
    ('sub_frames', 'gt_offset', 'sharp'), [(5, None, 2), (10, 7, 7)]
)
def test_layout_and_values(source, tmp_path, sub_frames, gt_offset, sharp):
    folder, frames = source
    out = tmp_path / 'set'
    recipe = MultiExposureRecipe(sub_frames, gt_offset=gt_offset, whole_sources=True)
    (clip,) = convert_videos([folder], out, recipe)
    count = 32 // sub_frames
    assert clip == ('004', 'train', 0, count)
    assert (out / 'train.txt').read_text() == f'004 {count}\n'
    for index in range(count):
        interval = frames[sub_frames * index :][:sub_frames]
        name = f'{index:08d}.png'
        hr = interval[sharp][1:65]
        np.testing.assert_array_equal(read(out / f'train_sharp/004/{name}'), hr)
        np.testing.assert_array_equal(
            read(out / f'train_sharp_bicubic/X4/004/{name}'), bicubic_downsample(hr, 4)
        )
        for level in range(1, 6):
            path = out / f'train_blur_bicubic/X4/5-{level}/004/{name}'
            open_frames = interval[: level * sub_frames // 5]
            np.testing.assert_array_equal(read(path), expected_blur(open_frames))
    assert len([*out.rglob('*.png')]) == 7 * count


def test_the_dataset_reads_what_was_made(source, tmp_path):
    out = tmp_path / 'set'
    convert_videos([source[0]], out, MultiExposureRecipe(5, whole_sources=True))
    dataset = REDSMEDataset(
        data_root=str(out),
        ann_file='train.txt',
        data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
    )
    assert [sample['exposure'] for sample in dataset] == [
        [level] * 6 for level in range(1, 6)
    ]


def test_one_level_of_still_frames_is_like_the_others(tmp_path):
    """And light is averaged where that is wanted."""
    black, white = (np.full((64, 64, 3), value, np.uint8) for value in (0, 255))
    recipe = MultiExposureRecipe(5, linear_light=True)
    frames = [black, white, white, black, black]
    (images,) = recipe.apply(iter(frames))
    levels = [image[0, 0, 0] for image in images[2:]]
    # sRGB codes of the light 0, 1/2, 2/3, 2/4 and 2/5.
    assert levels == [0, 188, 213, 188, 170]
    assert images[0][0, 0, 0] == images[1][0, 0, 0] == 255


def test_sources_are_cut_unless_whole():
    recipe = MultiExposureRecipe(5, clip_length=4, min_clip_length=2)
    clips = recipe.plan(Source('a', 0, 50, 64, 64, [32]))
    assert clips == [
        ('a_000', 'train', 0, 4),
        ('a_001', 'train', 20, 2),
        ('a_002', 'train', 32, 3),
    ]
    whole = MultiExposureRecipe(5, whole_sources=True)
    assert whole.plan(Source('a', 0, 54, 64, 64, [32])) == [('a', 'train', 0, 10)]
    assert MultiExposureRecipe(80).gt_offset == 32


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(sub_frames=8), 'sub_frames must be a multiple of 5.* got 8'),
        (dict(sub_frames=0), 'sub_frames must be a multiple of 5.* got 0'),
        (dict(sub_frames=5, stride=4), r'stride must be sub_frames \(5\).* got 4'),
        (dict(sub_frames=5, gt_offset=5), 'gt_offset .* from 0 to 4, got 5'),
        (
            dict(sub_frames=5, whole_sources=True, held_out=0.1),
            'held_out divides sources, which whole_sources forbids',
        ),
    ],
)
def test_impossible_recipes(kwargs, message):
    with pytest.raises(ValueError, match=message):
        MultiExposureRecipe(**kwargs)


def test_short_sources_are_named(source, tmp_path):
    recipe = MultiExposureRecipe(15, whole_sources=True)
    with pytest.raises(ValueError, match='004 is too short: its 32 frames make 2'):
        convert_videos([source[0]], tmp_path / 'set', recipe)
    assert not (tmp_path / 'set').exists()


def test_the_tool(source, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'set'
    arguments = [
        TOOL,
        source[0],
        '--out',
        out,
        '--sub-frames',
        '10',
        '--gt-offset',
        '3',
    ]
    monkeypatch.setattr(sys, 'argv', [*map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')
    printed = capsys.readouterr().out
    assert 'train: 1 clips, 3 frames at 5 levels' in printed
    assert f'generate_flow.py --data-root {out} --sharp-lr train_sharp_bicubic/X4' in (
        printed
    )
    np.testing.assert_array_equal(
        read(out / 'train_sharp/004/00000001.png'), source[1][13][1:65]
    )
    monkeypatch.setattr(sys, 'argv', [*map(str, [*arguments, '--linear-light'])])
    with pytest.raises(ValueError, match='linear_light = False, now True'):
        runpy.run_path(str(TOOL), run_name='__main__')
