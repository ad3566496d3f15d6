"""Princeton's names turned into MMFlow's."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

from fmanet_mm.flow import MMFlowEstimator
from fmanet_mm.flow.raft import build_raft
from fmanet_mm.flow.raft_converter import ARCHITECTURES, convert_raft

ROOT = Path(__file__).parents[2]


MOTION_ENCODER = {
    'corr_net.0.conv': 'convc1',
    'corr_net.1.conv': 'convc2',
    'flow_net.0.conv': 'convf1',
    'flow_net.1.conv': 'convf2',
    'out_net.0.conv': 'conv',
}
HEADS = {
    'flow_pred.layers.0.conv': 'flow_head.conv1',
    'flow_pred.predict_layer': 'flow_head.conv2',
    'mask_pred.layers.0.conv': 'mask.0',
    'mask_pred.predict_layer': 'mask.2',
}


def princeton_name(name, architecture):
    """Say how Princeton calls an MMFlow weight (written apart from the converter)."""
    part, _, rest = name.partition('.')
    if part != 'decoder':
        net = {'encoder': 'fnet', 'context': 'cnet'}[part]
        rest = rest.replace('res_layer', 'layer').replace('bn', 'norm')
        return f'module.{net}.{rest}'
    layer, _, kind = rest.rpartition('.')
    if layer.startswith('encoder.'):
        layer = f'encoder.{MOTION_ENCODER[layer.removeprefix("encoder.")]}'
    elif layer.startswith('gru.'):
        _, gate, index, _ = layer.split('.')
        number = '' if architecture == 'small' else int(index) + 1
        layer = f'gru.{gate.replace("_", "")}{number}'
    else:
        layer = HEADS[layer]
    return f'module.update_block.{layer}.{kind}'


def princeton_weights(architecture):
    torch.manual_seed(0)
    weights = {}
    for name, value in build_raft(ARCHITECTURES[architecture]).state_dict().items():
        princeton = princeton_name(name, architecture)
        weights[princeton] = value
        if architecture == 'basic' and '.downsample.1.' in princeton:
            weights[princeton.replace('downsample.1', 'norm3')] = value
    return weights


@pytest.mark.parametrize('architecture', ['small', 'basic'])
def test_every_weight_arrives(architecture):
    source = princeton_weights(architecture)
    converted = convert_raft(source, architecture)
    expected = build_raft(ARCHITECTURES[architecture]).state_dict()
    assert converted.keys() == expected.keys()
    for name, value in converted.items():
        assert value is source[princeton_name(name, architecture)], name


def test_known_names():
    """Names of the public files, written out."""
    assert {
        'module.fnet.layer2.0.downsample.0.weight',
        'module.cnet.layer3.1.conv3.bias',
        'module.update_block.encoder.convc1.weight',
        'module.update_block.gru.convq.bias',
    } <= princeton_weights('small').keys()
    assert {
        'module.cnet.norm1.running_mean',
        'module.cnet.layer2.0.norm3.weight',
        'module.update_block.gru.convq2.bias',
        'module.update_block.mask.2.weight',
    } <= princeton_weights('basic').keys()


def test_broken_weights_are_refused():
    good = princeton_weights('small')
    name = 'module.fnet.conv1.weight'
    with pytest.raises(ValueError, match=r"left over: \['surplus'\]"):
        convert_raft({**good, 'module.surplus': torch.zeros(1)}, 'small')
    with pytest.raises(ValueError, match=r"missing: \['encoder.conv1.weight'\]"):
        convert_raft({k: v for k, v in good.items() if k != name}, 'small')
    with pytest.raises(ValueError, match='encoder.conv1.weight.*instead of'):
        convert_raft({**good, name: torch.zeros(3)}, 'small')
    with pytest.raises(ValueError, match='RAFT basic'):
        convert_raft(good, 'basic')
    with pytest.raises(ValueError, match="'tiny'"):
        convert_raft(good, 'tiny')


def test_norm_given_twice_must_be_one():
    weights = princeton_weights('basic')
    weights['module.cnet.layer2.0.norm3.bias'] = torch.ones(96)
    with pytest.raises(ValueError, match='two different weights.*downsample.1.bias'):
        convert_raft(weights, 'basic')


@pytest.fixture
def run(monkeypatch):
    tool = str(ROOT / 'tools/model_converters/convert_raft.py')

    def call(*arguments):
        monkeypatch.setattr(sys, 'argv', [tool, *map(str, arguments)])
        runpy.run_path(tool, run_name='__main__')

    return call


def test_tool_writes_a_checkpoint(tmp_path, run, capsys):
    source, out = tmp_path / 'small.pth', tmp_path / 'new' / 'out.pth'
    weights = princeton_weights('small')
    torch.save(weights, source)
    run(source, out)
    assert str(out) in capsys.readouterr().out
    assert [file.name for file in out.parent.iterdir()] == ['out.pth']
    assert torch.load(out, weights_only=True)['meta'] == dict(channel_order='rgb')
    loaded = MMFlowEstimator('raft_small', str(out)).net.state_dict()
    expected = convert_raft(weights, 'small')
    torch.testing.assert_close(dict(loaded), expected, rtol=0, atol=0)


def test_tool_writes_nothing_of_broken_weights(tmp_path, run):
    bad = tmp_path / 'bad.pth'
    torch.save({**princeton_weights('small'), 'surplus': torch.zeros(1)}, bad)
    with pytest.raises(ValueError, match='surplus'):
        run(bad, tmp_path / 'never.pth')
    assert [file.name for file in tmp_path.iterdir()] == ['bad.pth']
