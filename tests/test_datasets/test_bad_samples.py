"""Damaged files in the middle of training."""

import logging
from itertools import islice

import numpy as np
import pytest
import torch
from mmagic.registry import DATASETS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from fmanet_mm.datasets import SkipBadSamples
from fmanet_mm.engine import PositionedDataset, PositionedSampler
from fmanet_mm.utils import config_root


@DATASETS.register_module()
class PartlyBadDataset(Dataset):
    """Gives the index and what chance draws; some indices cannot be loaded."""

    metainfo = dict(name='partly bad')

    def __init__(self, length=12, bad=(3, 4, 7), error=ValueError):
        self.length, self.bad, self.error = length, bad, error

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.bad:
            raise self.error(f'frame {index}.png cannot be read')
        return torch.tensor([index, np.random.random(), torch.rand(()).item()])


def skip(max_bad_samples=3, **kwargs):
    config = dict(type='PartlyBadDataset', **kwargs)
    return SkipBadSamples(config, max_bad_samples)


def messages(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def log(caplog):
    """Capture MMEngine's logger, which does not propagate."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def reds_loader(vsrdb_set):
    """Build a training loader of the real config, of 3 samples."""

    def build(num_workers, wrap=lambda dataset: dataset):
        config = Config.fromfile(config_root() / 'fmanet_stage1.py').train_dataloader
        dataset = config.dataset.datasets[1]
        dataset.data_root = str(vsrdb_set.root)
        dataset.data_prefix = vsrdb_set.prefix()
        dataset.pipeline[4].patch_size = 8
        config.dataset = wrap(dataset)
        config.batch_size = 3
        config.num_workers = num_workers
        config.persistent_workers = num_workers > 0
        return Runner.build_dataloader(config, seed=0)

    return build


FILES = {
    'frame': ('train_sharp/000/00000002.png', 'cannot be read as an image'),
    'flow': ('train_flow/X4/000/00000002_00000003.npy', 'cannot be read as a numpy'),
}


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize('kind', FILES)
def test_training_stops_and_names_the_file_once(
    vsrdb_set, reds_loader, kind, num_workers
):
    name, message = FILES[kind]
    path = vsrdb_set.root / name
    loader = reds_loader(num_workers)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=message) as error:
        next(iter(loader))
    text = str(error.value)
    assert text.count(str(path)) == 1
    assert str(path) in text.strip().splitlines()[-1]


def test_missing_file_is_named_by_a_worker(vsrdb_set, reds_loader):
    loader = reds_loader(1)
    path = vsrdb_set.root / 'train_blur_bicubic/X4/000/00000004.png'
    path.unlink()
    with pytest.raises(FileNotFoundError) as error:
        next(iter(loader))
    assert str(path) in str(error.value).strip().splitlines()[-1]


def test_damaged_flow_is_skipped_by_the_real_pipeline(vsrdb_set, reds_loader, log):
    def wrap(dataset):
        return dict(type='SkipBadSamples', max_bad_samples=1, dataset=dataset)

    loader = reds_loader(0, wrap)
    path = vsrdb_set.root / FILES['flow'][0]
    path.write_bytes(path.read_bytes()[:100])
    batches = list(islice(loader, 2))
    keys = {sample.key for batch in batches for sample in batch['data_samples']}
    assert keys == {'000/00000001', '000/00000003'}
    (message,) = messages(log)
    assert message.startswith(f'Skipped bad sample 1 of at most 1: flow file {path}')


def test_one_line_of_config_wraps_the_dataset(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        f"_base_ = ['{config_root()}/fmanet_stage1.py']\n"
        "train_dataloader = dict(dataset=dict(_delete_=True, type='SkipBadSamples', "
        'max_bad_samples=20, dataset=_base_.train_dataloader.dataset))\n'
    )
    wrapped = Config.fromfile(config).train_dataloader.dataset
    plain = Config.fromfile(config_root() / 'fmanet_stage1.py').train_dataloader
    assert wrapped.max_bad_samples == 20
    assert wrapped.dataset == plain.dataset


def test_good_samples_stay_and_bad_ones_become_always_the_same_other_one():
    dataset = skip()
    found = [int(dataset[index][0]) for index in range(12)]
    assert found == [
        0, 1, 2, found[3], found[4], 5, 6, found[7], 8, 9, 10, 11,
    ]  # fmt: skip
    replacements = [found[index] for index in (3, 4, 7)]
    assert not {3, 4, 7} & {*replacements}
    assert len({*replacements}) > 1
    np.random.seed(1)
    assert [int(skip()[index][0]) for index in (3, 4, 7)] == replacements


def test_each_bad_sample_is_logged_once_with_the_count(log):
    dataset = skip()
    for index in (3, 0, 7, 3, 4):
        dataset[index]
    heads, files = zip(*(m.split(': ') for m in messages(log)), strict=True)
    assert heads == tuple(f'Skipped bad sample {n} of at most 3' for n in (1, 2, 3))
    assert {*files} == {f'frame {index}.png cannot be read' for index in (3, 4, 7)}


@pytest.mark.parametrize('error', [ValueError, FileNotFoundError, OSError])
def test_more_bad_samples_than_allowed_stop(error):
    dataset = skip(max_bad_samples=2, bad=(3, 7, 9), error=error)
    dataset[3], dataset[7], dataset[3]
    with pytest.raises(
        ValueError, match=r'3 of 12 .*max_bad_samples=2.*frame 9\.png cannot be read'
    ):
        dataset[9]


def test_a_set_without_a_good_sample_stops():
    dataset = skip(max_bad_samples=11, bad=range(12))
    with pytest.raises(ValueError, match='12 of 12 samples cannot be loaded'):
        dataset[5]


def test_other_errors_are_not_caught():
    with pytest.raises(KeyError):
        skip(error=KeyError)[3]


@pytest.mark.parametrize('max_bad_samples', [0, -1, 12])
def test_limits_out_of_range(max_bad_samples):
    with pytest.raises(ValueError, match=f'less than the 12 .* got {max_bad_samples}'):
        skip(max_bad_samples)


def test_workers_count_together():
    dataset = skip(max_bad_samples=2)
    loader = DataLoader(dataset, batch_size=1, num_workers=2)
    with pytest.raises(ValueError, match='max_bad_samples=2'):
        list(loader)
    assert dataset._is_bad.sum() == 3


def test_the_stream_of_samples_goes_on_exactly():
    config = dict(
        type='SkipBadSamples',
        max_bad_samples=3,
        dataset=dict(type='PartlyBadDataset'),
    )

    def first(count, num_workers=0, start=0):
        dataset = PositionedDataset(config)
        sampler = PositionedSampler(dataset, seed=5)
        sampler.start = 4 * start
        loader = DataLoader(dataset, 4, sampler=sampler, num_workers=num_workers)
        return list(islice(loader, count))

    expected = first(8)
    assert PositionedDataset(config).metainfo == dict(name='partly bad')
    assert not {3, 4, 7} & {*torch.cat(expected)[:, 0].tolist()}
    for batches in (first(3, start=5), first(3, num_workers=2, start=5)):
        for batch, reference in zip(batches, expected[5:], strict=True):
            assert torch.equal(batch, reference)
