"""RAFT through MMFlow, held against the flow of the reference implementation."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from fmanet_mm.flow import MMFlowEstimator
from fmanet_mm.flow.checkpoint import load_checkpoint
from fmanet_mm.flow.raft import build_raft
from fmanet_mm.flow.raft_converter import convert_raft

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / 'tests/data/raft'
PUBLISHED = 'raft/raft_8xb2_100k_mixed-368x768.py'


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Princeton's RAFT-small, converted."""
    source = Path(
        os.environ.get(
            'FMANET_RAFT_SMALL', ROOT.parent / 'shared/weights/raft-small.pth'
        )
    )
    if not source.is_file():
        pytest.skip(f'no RAFT-small weights at {source}, set FMANET_RAFT_SMALL')
    path = tmp_path_factory.mktemp('raft') / 'raft_small.pth'
    torch.save(dict(state_dict=convert_raft(load_checkpoint(source)[0], 'small')), path)
    return str(path)


def read(name, flag=cv2.COLOR_BGR2RGB):
    return cv2.cvtColor(cv2.imread(str(GOLDEN / name)), flag)


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
@pytest.mark.parametrize('pair', ['even', 'odd'])
def test_golden_flow(weights, pair, order):
    estimator = MODELS.build(
        dict(
            type='MMFlowEstimator',
            config='raft_small',
            checkpoint=weights,
            channel_order=order,
        )
    )
    flow = estimator.estimate_arrays([read(f'{pair}_a.png')], [read(f'{pair}_b.png')])
    expected = np.load(GOLDEN / f'{pair}_flow_{order}.npy')
    assert flow.dtype == np.float32
    np.testing.assert_allclose(flow[0], expected, rtol=0, atol=1e-3)


def save_untrained(path, **content):
    torch.manual_seed(0)
    torch.save(dict(state_dict=build_raft(PUBLISHED).state_dict(), **content), path)
    return str(path)


def test_colours_are_fed_as_the_weights_were_trained(weights, tmp_path):
    assert MMFlowEstimator('raft_small', weights).channel_order == 'rgb'
    mmflow = save_untrained(tmp_path / 'mmflow.pth', meta=dict(epoch=1))
    assert MMFlowEstimator(PUBLISHED, mmflow).channel_order == 'bgr'
    converted = save_untrained(
        tmp_path / 'converted.pth', meta=dict(channel_order='rgb')
    )
    assert MMFlowEstimator(PUBLISHED, converted).channel_order == 'rgb'
    frames = torch.rand(2, 1, 3, 64, 64)
    torch.testing.assert_close(
        MMFlowEstimator(PUBLISHED, mmflow, iters=1)(*frames),
        MMFlowEstimator(PUBLISHED, converted, iters=1)(*frames.flip(2)),
        rtol=0,
        atol=0,
    )


@pytest.mark.parametrize('name', ['raft', 'raft_small', 'dis'])
def test_estimator_configs(name):
    config = Config.fromfile(ROOT / f'configs/_base_/flow/{name}.py').flow_estimator
    assert config.type in MODELS
    if name == 'raft':
        published = get_config(f'mmflow::{config.config}', pretrained=True)
        assert config.checkpoint == published.model_path


def test_works_under_mmagic_scope_and_leaves_it(weights):
    with DefaultScope.overwrite_default_scope('mmagic'):
        MODELS.build(
            dict(type='MMFlowEstimator', config='raft_small', checkpoint=weights)
        )
        assert DefaultScope.get_current_instance().scope_name == 'mmagic'
        assert MODELS.build(dict(type='L1Loss'))


@pytest.mark.parametrize(('height', 'width'), [(1, 1), (23, 40), (64, 72)])
def test_any_size_and_batch(weights, height, width):
    estimator = MMFlowEstimator('raft_small', weights, iters=2)
    torch.manual_seed(0)
    frames = torch.rand(2, 3, height, width)
    flow = estimator(frames, frames.flip(0))
    assert flow.shape == (2, 2, height, width) and flow.dtype == torch.float32
    assert flow.isfinite().all() and not flow.requires_grad
    single = estimator(frames[1:], frames[:1])
    torch.testing.assert_close(flow[1:], single, rtol=0, atol=1e-3)


def test_any_raft_config(tmp_path):
    """A config by name, by path and as a dict give the same flow from one file."""
    checkpoint = save_untrained(tmp_path / 'raft.pth')
    path = tmp_path / 'own.py'
    path.write_text(f"_base_ = 'mmflow::{PUBLISHED}'\n")
    inline = get_config(f'mmflow::{PUBLISHED}').model.to_dict()
    frames = torch.rand(2, 1, 3, 64, 64)
    flows = [
        MMFlowEstimator(config, checkpoint, iters=1)(*frames)
        for config in (PUBLISHED, str(path), inline)
    ]
    assert flows[0].abs().max() > 0
    torch.testing.assert_close(flows[0], flows[1], rtol=0, atol=0)
    torch.testing.assert_close(flows[0], flows[2], rtol=0, atol=0)


def test_bad_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.py.*raft_8xb2_100k_mixed'):
        MMFlowEstimator('nowhere.py', 'weights.pth')
    with pytest.raises(ValueError, match="type='RAFT'.*pwcnet"):
        MMFlowEstimator('pwcnet/pwcnet_8xb1_slong_flyingchairs-384x448.py', 'w.pth')
    with pytest.raises(ValueError, match='iters.*0'):
        MMFlowEstimator('raft_small', 'weights.pth', iters=0)
    with pytest.raises(ValueError, match="'grb'"):
        MMFlowEstimator('raft_small', 'weights.pth', channel_order='grb')


def test_bad_checkpoint_is_named(tmp_path):
    path = tmp_path / 'weights.pth'
    with pytest.raises(FileNotFoundError, match='weights.pth'):
        MMFlowEstimator('raft_small', str(path))
    path.write_bytes(b'<html>not found</html>')
    with pytest.raises(ValueError, match='weights.pth is not a checkpoint'):
        MMFlowEstimator('raft_small', str(path))
    torch.save(torch.zeros(1), path)
    with pytest.raises(ValueError, match='weights.pth holds a Tensor'):
        MMFlowEstimator('raft_small', str(path))
    torch.save({'state_dict': {'encoder.conv1.weight': torch.zeros(1)}}, path)
    with pytest.raises(ValueError, match='(?s)weights.pth does not fit.*context'):
        MMFlowEstimator('raft_small', str(path))
    torch.save({'module.update_block.gru.convz.bias': torch.zeros(1)}, path)
    with pytest.raises(ValueError, match='convert_raft.py'):
        MMFlowEstimator('raft_small', str(path))


def test_failed_download_says_where_the_file_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    address = 'http://127.0.0.1:9/raft.pth'
    place = tmp_path / 'checkpoints' / 'raft.pth'
    with pytest.raises(RuntimeError) as error:
        load_checkpoint(address)
    for part in (address, str(place), '--raft-checkpoint'):
        assert part in str(error.value)
    assert not any(place.parent.iterdir())
    torch.save({'a': torch.ones(1)}, place)
    assert load_checkpoint(address) == ({'a': torch.ones(1)}, {})
