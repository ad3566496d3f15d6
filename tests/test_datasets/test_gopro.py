"""GoPro in its official tree."""

import pytest

from fmanet_mm.datasets import GoProVSRDBDataset

CLIP = 'GOPR0384_11_00'
PREFIX = dict(
    img='test_blur_bicubic/X4',
    gt='test/{clip}/sharp',
    img_sharp='test_sharp_bicubic/X4',
    flow='test_flow/X4',
)


@pytest.fixture
def gopro(vsrdb_set):
    for clip, first in ((CLIP, 1), ('GOPR0410_11_00', 3999)):
        stems = [f'{number:06d}' for number in range(first, first + 4)]
        vsrdb_set.add_clip(clip, split='test', stems=stems, gt=f'test/{clip}/sharp')
        # What else the official tree holds.
        for kind in ('blur', 'blur_gamma'):
            (vsrdb_set.root / f'test/{clip}/{kind}').mkdir()
    return vsrdb_set


def load(gopro, **kwargs):
    return GoProVSRDBDataset(
        data_root=str(gopro.root), data_prefix=PREFIX, serialize_data=False, **kwargs
    )


def test_sharp_frames_in_the_official_tree(gopro):
    dataset = load(gopro)
    assert [sample['key'] for sample in dataset] == [
        f'{CLIP}/000002',
        f'{CLIP}/000003',
        'GOPR0410_11_00/004000',
        'GOPR0410_11_00/004001',
    ]
    root = gopro.root
    names = ('000001', '000002', '000003')
    assert dataset[0]['gt_path'] == [f'{root}/test/{CLIP}/sharp/{n}.png' for n in names]
    assert dataset[0]['img_path'] == [
        f'{root}/test_blur_bicubic/X4/{CLIP}/{n}.png' for n in names
    ]
    assert dataset[3]['flow_path'] == [
        f'{root}/test_flow/X4/GOPR0410_11_00/004001_004000.npy',
        None,
        f'{root}/test_flow/X4/GOPR0410_11_00/004001_004002.npy',
    ]


def test_sharp_frames_in_the_layout_of_reds_too(gopro):
    official = gopro.root / f'test/{CLIP}/sharp'
    (gopro.root / 'test_sharp').mkdir()
    official.rename(gopro.root / 'test_sharp' / CLIP)
    (gopro.root / 'test.txt').write_text(f'{CLIP} 4\n')
    dataset = GoProVSRDBDataset(
        data_root=str(gopro.root),
        ann_file='test.txt',
        data_prefix=PREFIX | dict(gt='test_sharp'),
        num_output_frames=1,
    )
    assert dataset[1]['gt_path'] == f'{gopro.root}/test_sharp/{CLIP}/000003.png'


def test_gaps_of_the_official_tree_are_named(gopro):
    sharp = gopro.root / f'test/{CLIP}/sharp'
    (sharp / '000004.png').unlink()
    with pytest.raises(FileNotFoundError, match=f'{sharp}/000004.png is missing'):
        load(gopro)
    sharp.rename(sharp.with_name('Sharp'))
    with pytest.raises(FileNotFoundError, match=f'{CLIP} has no folder {sharp} '):
        load(gopro)


def test_clip_without_low_resolution_is_named(gopro):
    gopro.write_frame(gopro.root / 'test/GOPR0868_11_00/sharp/000001.png', hr=True)
    with pytest.raises(FileNotFoundError, match='blur_bicubic/X4/GOPR0868_11_00'):
        load(gopro)


def test_frames_of_reds_are_refused(gopro):
    gopro.write_frame(gopro.root / f'test_blur_bicubic/X4/{CLIP}/00000005.png')
    with pytest.raises(ValueError, match='named by .* 6 digits for GoProVSRDBDataset'):
        load(gopro)
