"""Everything that may be wrong with a set is found at once."""

import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from mmengine.config import Config

from fmanet_mm.datasets import check
from fmanet_mm.datasets.check import check_datasets, find_datasets
from fmanet_mm.utils import config_root


@pytest.fixture
def two_clips(vsrdb_set):
    """A sound set of two clips of 5 frames."""
    vsrdb_set.add_clip('001')
    (vsrdb_set.root / 'train.txt').write_text('000 5\n001 5\n')
    return vsrdb_set


def config(vsrdb_set, **kwargs):
    return dict(
        type='REDSVSRDBDataset',
        data_root=str(vsrdb_set.root),
        data_prefix=vsrdb_set.prefix(),
        ann_file='train.txt',
        **kwargs,
    )


def problems(vsrdb_set, **kwargs):
    """Problems by path below the root of the set."""
    report = check_datasets([config(vsrdb_set, **kwargs)])
    found = {
        os.path.relpath(fault.path, vsrdb_set.root): fault.problem
        for fault in report.faults
    }
    assert len(found) == len(report.faults)
    assert all(fault.path in fault.problem for fault in report.faults)
    return found


@pytest.mark.parametrize('num_processes', [1, 2])
def test_sound_set(two_clips, num_processes):
    report = check_datasets([config(two_clips)] * 2, num_processes)
    assert report.passed
    # 3 kinds of 5 frames, and 2 flow files for each of 3 centre frames.
    assert (report.num_clips, report.num_files) == (2, 2 * (3 * 5 + 2 * 3))


def test_all_faults_are_listed(two_clips):
    root = two_clips.root
    (root / 'train_sharp/000/00000002.png').unlink()
    (root / 'train_blur_bicubic/X4/000/00000003.png').write_bytes(b'no image')
    two_clips.write_frame(root / 'train_sharp_bicubic/X4/000/00000004.png', size=(8, 9))
    two_clips.write_frame(root / 'train_sharp/001/00000000.png', hr=False)
    two_clips.write_frame(root / 'train_sharp/001/0001.png')
    flow = root / 'train_flow/X4/001'
    (flow / '00000001_00000000.npy').unlink()
    (flow / '00000001_00000002.npy').write_bytes(b'half')
    np.save(flow / '00000002_00000001.npy', np.full((8, 12, 2), np.nan, np.float16))
    np.save(flow / '00000003_00000002.npy', np.zeros((9, 12, 2), np.float16))
    assert sorted(problems(two_clips)) == [
        'train_blur_bicubic/X4/000/00000003.png',
        'train_flow/X4/001/00000001_00000000.npy',
        'train_flow/X4/001/00000001_00000002.npy',
        'train_flow/X4/001/00000002_00000001.npy',
        'train_flow/X4/001/00000003_00000002.npy',
        'train_sharp/000/00000002.png',
        'train_sharp/001/00000000.png',
        'train_sharp/001/0001.png',
        'train_sharp_bicubic/X4/000/00000004.png',
    ]


def test_messages(two_clips):
    root = two_clips.root
    names = [f'0000000{number}' for number in (0, 2, 3)]
    (root / f'train_sharp/000/{names[0]}.png').write_bytes(b'')
    for name in names[1:]:
        (root / f'train_sharp_bicubic/X4/000/{name}.png').unlink()
    two_clips.write_frame(root / 'train_sharp/001/00000004.png', size=(32, 47))
    np.save(root / 'train_flow/X4/001/00000001_00000002.npy', np.zeros((7, 12, 2), 'f'))
    found = problems(two_clips)
    blurry = root / 'train_blur_bicubic/X4/001'
    assert found == {
        f'train_sharp/000/{names[0]}.png': (
            f'frame {root}/train_sharp/000/{names[0]}.png cannot be read as an image; '
            'it is damaged or cut off'
        ),
        f'train_sharp_bicubic/X4/000/{names[1]}.png': (
            f'frame {root}/train_sharp_bicubic/X4/000/{names[1]}.png is missing, of 2 '
            'in a row'
        ),
        'train_sharp/001/00000004.png': (
            f'{root}/train_sharp/001/00000004.png has (H, W) = (32, 47) instead of '
            f'(32, 48); most frames in {blurry} have (8, 12)'
        ),
        'train_flow/X4/001/00000001_00000002.npy': (
            f'{root}/train_flow/X4/001/00000001_00000002.npy has (H, W) = (7, 12) '
            f'instead of (8, 12); most frames in {blurry} have (8, 12)'
        ),
    }


def test_an_odd_first_frame_is_blamed_rather_than_the_others(two_clips):
    path = two_clips.root / 'train_blur_bicubic/X4/000/00000000.png'
    two_clips.write_frame(path, size=(7, 12))
    assert [*problems(two_clips)] == ['train_blur_bicubic/X4/000/00000000.png']


def test_scale_of_the_pipeline(two_clips):
    pipeline = [dict(type='LoadFrames', key='img'), dict(type='CheckScale', scale=2)]
    found = problems(two_clips, pipeline=pipeline)
    assert len(found) == 10
    assert 'instead of (16, 24)' in found['train_sharp/001/00000003.png']


def test_counts_and_folders(two_clips):
    root = two_clips.root
    (root / 'train_sharp/001').rename(root / 'train_sharp/.001')
    (root / 'train.txt').write_text('000 6\n001 5\n002 5\n')
    found = problems(two_clips)
    assert found['train_blur_bicubic/X4/000'] == (
        f'clip {root}/train_blur_bicubic/X4/000 has 5 frames, but {root}/train.txt '
        'says 6'
    )
    assert 'clip 001 has no folder' in found['train_sharp/001']
    assert {path for path in found if path.endswith('002')} == {
        f'{two_clips.prefix()[kind]}/002' for kind in ('img', 'gt', 'img_sharp')
    }
    assert len(found) == 5


def test_clip_shorter_than_the_window(two_clips):
    found = problems(two_clips, num_input_frames=7)
    assert len(found) == 2
    assert found['train_blur_bicubic/X4/001'].endswith(
        'has 5 frames, fewer than the 7 of a window'
    )


def test_no_flow_at_all_is_one_fault(two_clips):
    folder = two_clips.root / 'train_flow/X4'
    (folder / '001').rename(folder / '.001')
    found = problems(two_clips)
    assert [*found] == ['train_flow/X4/001']
    assert 'none of the 6 flow files' in found['train_flow/X4/001']
    assert 'python tools/generate_flow.py' in found['train_flow/X4/001']


def test_missing_annotation_and_root(two_clips):
    (two_clips.root / 'train.txt').unlink()
    assert 'no annotation file' in problems(two_clips)['train.txt']
    (two_clips.root / 'train.txt').write_text('\n')
    assert 'no clips in' in problems(two_clips)['train.txt']
    (two_clips.root / 'train_sharp').rename(two_clips.root / 'elsewhere')
    [fault] = check_datasets([config(two_clips)]).faults
    assert 'no data folder' in fault.problem


def measure_slowly(path, kind):
    time.sleep(0.05)
    return f'{path} is never good'


def press_ctrl_c():
    """Do what a terminal does: tell the process and those that it has started."""
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_leaves_a_report(two_clips, monkeypatch):
    monkeypatch.setattr(check, '_measure', measure_slowly)
    timer = threading.Timer(1, press_ctrl_c)
    timer.start()
    report = check_datasets([config(two_clips)])
    timer.join()
    assert not report.complete and not report.passed
    assert report.num_files < 42
    assert len(report.faults) == report.num_files
    assert not multiprocessing.active_children()


def kill_itself(path, kind):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_an_error(two_clips, monkeypatch):
    monkeypatch.setattr(check, '_measure', kill_itself)
    with pytest.raises(BrokenProcessPool):
        check_datasets([config(two_clips)], 2)


def test_sets_of_the_configs():
    loaders = Config.fromfile(config_root() / 'fmanet_stage1.py')
    found = list(
        find_datasets([loaders.train_dataloader, loaders.val_dataloader.dataset])
    )
    assert [(set_.subset if 'subset' in set_ else 'all') for set_ in found] == [
        'non-REDS4',
        'all',
        'REDS4',
    ]
    wrapped = dict(dataset=dict(type='SkipBadSamples', dataset=found[0]))
    assert list(find_datasets(wrapped)) == [found[0]]
    synthetic = Config.fromfile(config_root() / 'fmanet_stage1_synthetic.py')
    assert not list(find_datasets(synthetic.train_dataloader))
    with pytest.raises(ValueError, match="no dataset of type 'RED'"):
        list(find_datasets(dict(dataset=dict(type='RED'))))
