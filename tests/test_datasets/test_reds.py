"""Subsets of REDS."""

import pytest
from mmagic.registry import DATASETS


def make_clips(root, split, number):
    """As many clips as REDS has, each of 3 empty frames of one kind."""
    for clip in range(number):
        folder = root / f'{split}_blur_bicubic/X4/{clip:03d}'
        folder.mkdir(parents=True)
        for frame in range(3):
            (folder / f'{frame:08d}.png').touch()


def config(root, split='train', **kwargs):
    return dict(
        type='REDSVSRDBDataset',
        data_root=str(root),
        data_prefix=dict(img=f'{split}_blur_bicubic/X4'),
        serialize_data=False,  # Quicker.
        **kwargs,
    )


def clips(dataset):
    return [sample['key'].partition('/')[0] for sample in dataset]


def test_published_split(tmp_path):
    make_clips(tmp_path, 'train', 240)
    make_clips(tmp_path, 'val', 30)
    training = DATASETS.build(
        dict(
            type='ConcatDataset',
            datasets=[
                config(tmp_path, subset='non-REDS4'),
                config(tmp_path, 'val'),
            ],
        )
    )
    reds4 = ['000', '011', '015', '020']
    assert [len(part) for part in training.datasets] == [236, 30]
    assert len(training) == 266
    assert not set(clips(training.datasets[0])) & set(reds4)
    assert set(reds4) <= set(clips(training.datasets[1]))
    assert training[236]['img_path'][0] == (
        f'{tmp_path}/val_blur_bicubic/X4/000/00000000.png'
    )

    assert clips(DATASETS.build(config(tmp_path, subset='REDS4'))) == reds4
    assert len(DATASETS.build(config(tmp_path))) == 240


def test_subset_of_an_annotation(tmp_path):
    make_clips(tmp_path, 'train', 21)
    path = tmp_path / 'train.txt'
    path.write_text('020 3\n015 3\n014\n011 3\n000 3\n')
    for subset, expected in (
        ('REDS4', ['000', '011', '015', '020']),
        ('non-REDS4', ['014']),
        ('all', ['020', '015', '014', '011', '000']),
    ):
        dataset = DATASETS.build(config(tmp_path, ann_file='train.txt', subset=subset))
        assert clips(dataset) == expected
    path.write_text('000\n020\n')
    with pytest.raises(FileNotFoundError, match='REDS4 is .*train.txt lacks 011, 015'):
        DATASETS.build(config(tmp_path, ann_file='train.txt', subset='REDS4'))


def test_missing_clip_of_reds4_is_named(tmp_path):
    make_clips(tmp_path, 'train', 15)
    with pytest.raises(FileNotFoundError, match='X4 lacks 015, 020'):
        DATASETS.build(config(tmp_path, subset='REDS4'))
    assert len(DATASETS.build(config(tmp_path, subset='non-REDS4'))) == 13


def test_unknown_subset(tmp_path):
    with pytest.raises(ValueError, match="subset must be one of .*'REDS4'.*'val'"):
        DATASETS.build(config(tmp_path, subset='val'))
