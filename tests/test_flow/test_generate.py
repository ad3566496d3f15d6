"""Making the flow files of a set."""

import json

import cv2
import numpy as np
import pytest

from fmanet_mm.datasets.transforms.flow_estimation import EstimateFlow
from fmanet_mm.flow import DISFlowEstimator, generate_flow, load_flow
from fmanet_mm.flow.generate import INFO_FILE, find_clips, find_pairs

DIS = dict(type='DISFlowEstimator')


@pytest.fixture
def frames(tmp_path, moving_frames):
    """Write two clips of 4 and 3 frames, return their folder."""
    root = tmp_path / 'sharp'
    for clip, number in (('000', 4), ('001', 3)):
        (root / clip).mkdir(parents=True)
        for index, frame in enumerate(moving_frames(number)):
            write(root / clip / f'{index:08d}.png', frame)
    return root


@pytest.fixture
def out(tmp_path):
    return tmp_path / 'flow'


def write(path, frame):
    assert cv2.imwrite(str(path), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_of_three_frames(frames, out):
    assert generate_flow(frames, out, DIS, batch_size=4) == 10
    assert names(out) == ['000', '001', INFO_FILE]
    assert names(out / '001') == [
        '00000000_00000001.npy',
        '00000001_00000000.npy',
        '00000001_00000002.npy',
        '00000002_00000001.npy',
    ]
    forward = load_flow(out / '000' / '00000001_00000002.npy', (64, 72))
    backward = load_flow(out / '000' / '00000001_00000000.npy', (64, 72))
    inner = np.s_[16:-16, 16:-16]
    np.testing.assert_allclose(forward[inner].mean((0, 1)), [2, 1], atol=0.1)
    np.testing.assert_allclose(backward[inner].mean((0, 1)), [-2, -1], atol=0.1)


def test_five_frames_reach_two_neighbours(frames, out):
    generate_flow(frames, out, DIS, num_frames=5, dtype='float32')
    assert names(out / '001') == [
        f'{i:08d}_{j:08d}.npy' for i in range(3) for j in range(3) if i != j
    ]
    assert '00000000_00000003.npy' not in names(out / '000')
    path = out / '000' / '00000003_00000001.npy'
    assert np.load(path).dtype == np.float32
    inner = load_flow(path)[16:-16, 16:-16].mean((0, 1))
    np.testing.assert_allclose(inner, [-4, -2], atol=0.1)


def test_resumes_with_what_is_missing_or_broken(frames, out, moving_frames):
    generate_flow(frames, out, DIS)
    files = sorted(out.rglob('*.npy'))
    before = {path: path.stat().st_mtime_ns for path in files}
    reference = {path: load_flow(path) for path in files}
    files[0].unlink()
    np.save(files[3], np.zeros((9, 9, 2), np.float16))
    files[5].write_bytes(files[5].read_bytes()[:-7])

    assert generate_flow(frames, out, DIS) == 3
    for index, path in enumerate(files):
        np.testing.assert_array_equal(load_flow(path), reference[path])
        renewed = path.stat().st_mtime_ns != before[path]
        assert renewed == (index in (0, 3, 5)), path
    assert generate_flow(frames, out, DIS) == 0


def test_batch_size_changes_nothing(frames, tmp_path):
    for size in (1, 3, 100):
        generate_flow(frames, tmp_path / str(size), DIS, batch_size=size)
    for path in (tmp_path / '1').rglob('*.npy'):
        relative = path.relative_to(tmp_path / '1')
        for size in ('3', '100'):
            np.testing.assert_array_equal(
                load_flow(path), load_flow(tmp_path / size / relative)
            )


def test_transform_gives_what_the_files_hold(frames, out, moving_frames):
    generate_flow(frames, out, DIS, num_frames=3, dtype='float32')
    sample = EstimateFlow(DIS)(dict(img_sharp=moving_frames(3)))
    for index in (0, 2):
        path = out / '000' / f'00000001_{index:08d}.npy'
        np.testing.assert_array_equal(sample['flow'][index], load_flow(path))
    assert not sample['flow'][1].any()


def test_files_made_in_another_way_are_not_mixed(frames, out):
    generate_flow(frames, out, DIS)
    for change in (dict(estimator={**DIS, 'preset': 'fast'}), dict(dtype='float32')):
        with pytest.raises(ValueError, match='holds flow made with'):
            generate_flow(**{**dict(sharp_lr=frames, out=out, estimator=DIS), **change})
    # A checkpoint that only moved is the same one.
    raft = dict(type='MMFlowEstimator', config='raft_small', checkpoint='/a/w.pth')
    info = json.loads((out / INFO_FILE).read_text())
    info['estimator'] = {**raft, 'checkpoint': 'w.pth'}
    (out / INFO_FILE).write_text(json.dumps(info, indent=2))
    assert generate_flow(frames, out, {**raft, 'checkpoint': '/b/w.pth'}) == 0


def test_annotation_chooses_the_clips(frames, out, tmp_path):
    ann_file = tmp_path / 'train.txt'
    ann_file.write_text('001 3\n')
    assert generate_flow(frames, out, DIS, ann_file=ann_file) == 4
    assert names(out) == ['001', INFO_FILE]
    ann_file.write_text('001\n')
    assert generate_flow(frames, out, DIS, ann_file=ann_file) == 0

    for line, error in (
        ('001 5', 'holds 3 frames.*says 5'),
        ('001 3 x', 'must be "<clip>'),
        ('../001 3', 'must be "<clip>'),
        ('/001 3', 'must be "<clip>'),
    ):
        ann_file.write_text(f'{line}\n')
        with pytest.raises(ValueError, match=error):
            find_clips(frames, ann_file)
    ann_file.write_text('007 3\n')
    with pytest.raises(FileNotFoundError, match='no folder .*007'):
        find_clips(frames, ann_file)
    ann_file.write_text('\n')
    with pytest.raises(FileNotFoundError, match='no clips in .*train.txt'):
        find_clips(frames, ann_file)
    with pytest.raises(FileNotFoundError, match='nowhere.txt'):
        find_clips(frames, tmp_path / 'nowhere.txt')


def test_missing_folders_and_frames_are_named(frames, out, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        generate_flow(tmp_path / 'nowhere', out, DIS)
    (frames / '000' / '00000001.png').unlink()
    with pytest.raises(FileNotFoundError, match='000/00000001.png is missing'):
        generate_flow(frames, out, DIS)
    assert not out.exists()


def test_bad_frames_are_named(frames, out, moving_frames):
    write(frames / '000' / '00000002.png', moving_frames(1, height=60)[0])
    with pytest.raises(ValueError, match=r'00000002\.png.*60'):
        generate_flow(frames, out, DIS)
    (frames / '000' / '00000002.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match='000/00000002.png cannot be read'):
        generate_flow(frames, out, DIS)
    (frames / '000' / '00000002.png').rename(frames / '000' / 'last.png')
    with pytest.raises(ValueError, match='last.png must be named by its number'):
        generate_flow(frames, out, DIS)


def test_bad_arguments_are_named(frames, out):
    for arguments, error in (
        (dict(num_frames=4), 'num_frames.*4'),
        (dict(num_frames=1), 'num_frames.*1'),
        (dict(batch_size=0), 'batch_size.*0'),
        (dict(dtype='int8'), 'int8'),
    ):
        with pytest.raises(ValueError, match=error):
            generate_flow(frames, out, DIS, **arguments)
    assert not out.exists()


def test_pairs_share_a_source_next_to_each_other(tmp_path):
    frames = [tmp_path / f'{index}.png' for index in range(4)]
    pairs = find_pairs(frames, tmp_path, 5)
    sources = [int(pair.source.stem) for pair in pairs]
    assert sources == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_nothing_is_built_when_nothing_is_to_do(frames, out, monkeypatch):
    generate_flow(frames, out, DIS)

    def fail(self, *args):
        raise AssertionError('estimator was built')

    monkeypatch.setattr(DISFlowEstimator, '__init__', fail)
    assert generate_flow(frames, out, DIS) == 0
