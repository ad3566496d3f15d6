"""Windows of clips, and what may be wrong with a set."""

import inspect
import os
import pickle

import pytest
from mmagic.datasets import BasicFramesDataset
from mmengine.fileio import LocalBackend

from fmanet_mm.datasets import REDSVSRDBDataset
from fmanet_mm.utils.annotation import read_annotation


def load(vsrdb_set, split='train', **kwargs):
    kwargs.setdefault('data_prefix', vsrdb_set.prefix(split))
    kwargs.setdefault('serialize_data', False)  # Quicker.
    return REDSVSRDBDataset(data_root=str(vsrdb_set.root), **kwargs)


def stems(paths):
    return [path and os.path.basename(path).partition('.')[0] for path in paths]


def test_sample_of_a_window(vsrdb_set):
    dataset = load(vsrdb_set)
    assert [sample['key'] for sample in dataset] == [
        '000/00000001',
        '000/00000002',
        '000/00000003',
    ]
    names = ('00000002', '00000003', '00000004')
    root = vsrdb_set.root
    assert dataset[2] == dict(
        key='000/00000003',
        img_path=[f'{root}/train_blur_bicubic/X4/000/{name}.png' for name in names],
        gt_path=[f'{root}/train_sharp/000/{name}.png' for name in names],
        img_sharp_path=[
            f'{root}/train_sharp_bicubic/X4/000/{name}.png' for name in names
        ],
        flow_path=[
            f'{root}/train_flow/X4/000/00000003_00000002.npy',
            None,
            f'{root}/train_flow/X4/000/00000003_00000004.npy',
        ],
        sample_idx=2,
    )


def test_five_frames_leave_out_two_at_each_end(vsrdb_set):
    (sample,) = load(vsrdb_set, num_input_frames=5)
    assert sample['key'] == '000/00000002'
    assert stems(sample['gt_path']) == [f'0000000{i}' for i in range(5)]
    assert stems(sample['flow_path']) == [
        f'00000002_0000000{i}' if i != 2 else None for i in range(5)
    ]


def test_borders_filled_by_the_end_frames(vsrdb_set):
    dataset = load(vsrdb_set, num_input_frames=5, border='replicate')
    assert [
        ''.join(stem[-1] for stem in stems(sample['img_path'])) for sample in dataset
    ] == ['00012', '00123', '01234', '12344', '23444']
    assert [
        [stem and stem[7::9] for stem in stems(s['flow_path'])] for s in dataset
    ] == [
        [None, None, None, '01', '02'],
        ['10', '10', None, '12', '13'],
        ['20', '21', None, '23', '24'],
        ['31', '32', None, '34', '34'],
        ['42', '43', None, None, None],
    ]


def test_clip_shorter_than_the_window_can_be_filled(vsrdb_set):
    vsrdb_set.add_clip('001', length=1)
    dataset = load(vsrdb_set, border='replicate')
    assert len(dataset) == 6
    assert dataset[5]['key'] == '001/00000000'
    assert stems(dataset[5]['img_path']) == ['00000000'] * 3
    assert dataset[5]['flow_path'] == [None] * 3


def test_one_output_frame_is_the_centre(vsrdb_set):
    sample = load(vsrdb_set, num_output_frames=1)[0]
    assert sample['gt_path'] == f'{vsrdb_set.root}/train_sharp/000/00000001.png'
    assert len(sample['img_path']) == len(sample['img_sharp_path']) == 3
    for prefix in (vsrdb_set.prefix(kinds=['img']), dict(img='train_blur_bicubic/X4')):
        sample = load(vsrdb_set, data_prefix=prefix, num_output_frames=1)[0]
        assert sample.keys() == {'key', 'img_path', 'sample_idx'}


def test_each_kind_is_found_by_its_own_prefix(vsrdb_set, tmp_path):
    # Folders whose names say the wrong kind and split, one of them elsewhere.
    vsrdb_set.add_clip('7', img='val_sharp/7', gt=tmp_path / 'train_blur_bicubic/X4/7')
    dataset = load(
        vsrdb_set,
        data_prefix=dict(img='val_sharp', gt=str(tmp_path / 'train_blur_bicubic/X4')),
    )
    assert dataset[0]['img_path'][0] == f'{vsrdb_set.root}/val_sharp/7/00000000.png'
    assert dataset[0]['gt_path'][0] == (
        f'{tmp_path}/train_blur_bicubic/X4/7/00000000.png'
    )


def test_annotation_chooses_clips(vsrdb_set):
    for clip, length in (('001', 3), ('010', 4), ('a/b c', 3)):
        vsrdb_set.add_clip(clip, length=length)
    (vsrdb_set.root / 'train.txt').write_text('010 4\n\n001\na/b c 3\n')
    assert [sample['key'] for sample in load(vsrdb_set, ann_file='train.txt')] == [
        '010/00000001',
        '010/00000002',
        '001/00000001',
        'a/b c/00000001',
    ]


def test_clips_without_annotation_come_in_order(vsrdb_set):
    for clip in ('010', '001'):
        vsrdb_set.add_clip(clip, length=3)
    (vsrdb_set.root / 'train_sharp/.cache').mkdir()
    (vsrdb_set.root / 'train_sharp/notes.txt').touch()
    samples = load(vsrdb_set)
    assert [sample['key'][:3] for sample in samples] == ['000'] * 3 + ['001', '010']


@pytest.mark.parametrize(
    'line',
    ['../000 5', 'a/../../b', '/000 5', '.', '000 five', '000 -5', '000 5 extra'],
)
def test_bad_annotation_line_is_named(vsrdb_set, line):
    (vsrdb_set.root / 'train.txt').write_text(f'001 5\n{line}\n')
    with pytest.raises(ValueError, match='train.txt, line 2 must be') as error:
        load(vsrdb_set, ann_file='train.txt')
    assert repr(line) in str(error.value)


def test_annotation_repeats_or_lacks_clips(vsrdb_set):
    path = vsrdb_set.root / 'train.txt'
    with pytest.raises(FileNotFoundError, match='no annotation file .*train.txt'):
        load(vsrdb_set, ann_file='train.txt')
    path.write_text('\n')
    with pytest.raises(FileNotFoundError, match='no clips in .*train.txt'):
        load(vsrdb_set, ann_file='train.txt')
    path.write_bytes(b'\xef\xbb\xbf000 5\r\n')
    assert read_annotation(path) == {'000': 5}
    path.write_text('000 5\n000\n')
    with pytest.raises(ValueError, match='line 2 repeats clip 000'):
        read_annotation(str(path))
    path.write_text('000 5\n004 5\n')
    with pytest.raises(
        FileNotFoundError, match='004 has no folder .*train_blur_bicubic/X4/004'
    ):
        load(vsrdb_set, ann_file='train.txt')


def test_annotation_contradicts_the_folders(vsrdb_set):
    (vsrdb_set.root / 'train.txt').write_text('000 6\n')
    with pytest.raises(ValueError, match=r'000 has 5 frames.*train.txt says 6'):
        load(vsrdb_set, ann_file='train.txt')


@pytest.mark.parametrize('kind', ['img', 'gt', 'img_sharp'])
class TestMissing:
    def folder(self, vsrdb_set, kind):
        return vsrdb_set.root / vsrdb_set.prefix()[kind]

    def test_data_folder(self, vsrdb_set, kind):
        folder = self.folder(vsrdb_set, kind)
        folder.rename(folder.with_name('elsewhere'))
        with pytest.raises(
            FileNotFoundError, match=rf'no data folder {folder} .*{kind}'
        ):
            load(vsrdb_set)

    def test_clip_folder(self, vsrdb_set, kind):
        vsrdb_set.add_clip('001')
        folder = self.folder(vsrdb_set, kind) / '001'
        folder.rename(folder.with_name('.001'))
        with pytest.raises(
            FileNotFoundError, match=f'001 has no folder {folder} .*{kind}'
        ):
            load(vsrdb_set)

    @pytest.mark.parametrize('number', [0, 2, 4])
    def test_frame(self, vsrdb_set, kind, number):
        path = self.folder(vsrdb_set, kind) / f'000/0000000{number}.png'
        path.unlink()
        with pytest.raises(
            FileNotFoundError, match=f'{path} is missing; expected 00000000.png to'
        ):
            load(vsrdb_set)

    def test_all_frames(self, vsrdb_set, kind):
        folder = self.folder(vsrdb_set, kind) / '000'
        for path in folder.iterdir():
            path.unlink()
        with pytest.raises(FileNotFoundError, match=f'no PNG frames in {folder}'):
            load(vsrdb_set)


def test_frame_missing_in_all_kinds(vsrdb_set):
    for kind in ('img', 'gt', 'img_sharp'):
        (vsrdb_set.root / vsrdb_set.prefix()[kind] / '000/00000003.png').unlink()
    with pytest.raises(FileNotFoundError, match='000/00000003.png is missing'):
        load(vsrdb_set)


def test_no_clips(vsrdb_set):
    (vsrdb_set.root / 'val').mkdir()
    with pytest.raises(FileNotFoundError, match='no clips in .*/val'):
        load(vsrdb_set, data_prefix=dict(img='val'))


@pytest.mark.parametrize('name', ['0000005.png', '000000005.png', 'frame_05.png'])
def test_misnamed_frame(vsrdb_set, name):
    path = vsrdb_set.root / 'train_sharp/000' / name
    path.touch()
    with pytest.raises(ValueError, match=f'{path} must be named by .* 8 digits'):
        load(vsrdb_set)


def test_clip_shorter_than_the_window(vsrdb_set):
    vsrdb_set.add_clip('001', length=2)
    with pytest.raises(ValueError, match='001 in .* has 2 frames, fewer than the 3'):
        load(vsrdb_set)


def test_missing_flow_is_named_with_the_command(vsrdb_set):
    folder = vsrdb_set.root / 'train_flow/X4/000'
    (folder / '00000002_00000003.npy').unlink()
    (folder / '00000002_00000001.npy').unlink()
    (folder / '00000000_00000001.npy').unlink()  # Of no window.
    with pytest.raises(FileNotFoundError) as error:
        load(vsrdb_set)
    assert str(error.value) == (
        '2 of 6 flow files of clip 000 are missing, the first is '
        f'{folder}/00000002_00000001.npy; make them with\n'
        f'  python tools/generate_flow.py --data-root {vsrdb_set.root} --sharp-lr '
        'train_sharp_bicubic/X4 --out train_flow/X4 --num-frames 3'
    )
    with pytest.raises(FileNotFoundError, match=r'8 of 8 .*flow/X2'):
        load(
            vsrdb_set,
            data_prefix=dict(img='train_blur_bicubic/X4', flow='train_flow/X2'),
            border='replicate',
        )


@pytest.mark.parametrize(
    'arguments, error',
    [
        (dict(num_input_frames=4), 'num_input_frames must be odd.* got 4'),
        (dict(num_input_frames=1), 'num_input_frames must be odd.* got 1'),
        (dict(num_output_frames=2), r'num_output_frames must be 1.*\(3\), got 2'),
        (dict(border='reflect'), "border must be one of .*'reflect'"),
        (dict(data_prefix=dict(gt='train_sharp')), "must have 'img'.*'gt'"),
        (dict(data_prefix=dict(img='', lq='')), "may have .*'gt'.*'lq'"),
    ],
)
def test_bad_arguments(vsrdb_set, arguments, error):
    with pytest.raises(ValueError, match=error):
        load(vsrdb_set, **arguments)


def test_lazy_serialised_and_cut_like_any_dataset(vsrdb_set, tmp_path):
    expected = [*load(vsrdb_set)]
    assert [*load(vsrdb_set, serialize_data=True)] == expected
    assert [*load(vsrdb_set, serialize_data=True, indices=2)] == expected[:2]

    lazy = REDSVSRDBDataset(data_prefix=vsrdb_set.prefix(), lazy_init=True)
    assert len(lazy.data_list) == 0
    lazy = pickle.loads(
        pickle.dumps(load(vsrdb_set, lazy_init=True, serialize_data=True))
    )
    lazy.full_init()
    copy = pickle.loads(pickle.dumps(lazy))
    vsrdb_set.root.rename(tmp_path / 'gone')
    assert [*copy] == expected
    assert copy.metainfo == dict(dataset_type='reds_vsrdb', task_name='vsrdb')


def test_instances_share_nothing(vsrdb_set):
    defaults = inspect.signature(BasicFramesDataset.__init__).parameters
    before = dict(defaults['filename_tmpl'].default)
    first = load(vsrdb_set, data_prefix=vsrdb_set.prefix(kinds=['img', 'gt']))
    second = load(vsrdb_set, data_prefix=vsrdb_set.prefix(kinds=['img']))
    assert second.filename_tmpl.keys() == {'img'}
    assert first.filename_tmpl.keys() == {'img', 'gt'}
    assert defaults['filename_tmpl'].default == before


def test_each_folder_is_listed_once(vsrdb_set, monkeypatch):
    vsrdb_set.add_clip('001')
    listed = []
    list_folder = LocalBackend.list_dir_or_file

    def record(self, dir_path, **kwargs):
        listed.append(os.path.relpath(dir_path, vsrdb_set.root))
        return list_folder(self, dir_path, **kwargs)

    monkeypatch.setattr(LocalBackend, 'list_dir_or_file', record)
    load(vsrdb_set)
    prefixes = vsrdb_set.prefix()
    clips = [
        f'{prefix}/{clip}' for prefix in prefixes.values() for clip in ('000', '001')
    ]
    roots = [prefix for kind, prefix in prefixes.items() if kind != 'flow']
    assert sorted(listed) == sorted(roots + clips)


@pytest.mark.parametrize(
    'link',
    [
        'train_sharp/000',
        'train_sharp/000/00000002.png',
        'train_flow/X4/000/00000002_00000001.npy',
    ],
)
def test_links_out_of_the_folder_of_the_clips_are_refused(vsrdb_set, tmp_path, link):
    path, outside = vsrdb_set.root / link, tmp_path / 'outside'
    path.rename(outside)
    path.symlink_to(outside)
    with pytest.raises(ValueError, match=f'{path} is a link to {outside}'):
        load(vsrdb_set)


def test_links_within_and_a_linked_set_are_taken(vsrdb_set, tmp_path):
    frame = vsrdb_set.root / 'train_sharp/000/00000002.png'
    frame.unlink()
    frame.symlink_to('00000001.png')
    (tmp_path / 'linked').symlink_to(vsrdb_set.root)
    vsrdb_set.root = tmp_path / 'linked'
    assert len(load(vsrdb_set)) == 3
