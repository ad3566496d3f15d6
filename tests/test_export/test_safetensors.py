import json
from pathlib import Path

import pytest
import torch
from helpers import tiny_network
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fmanet_mm import __version__
from fmanet_mm.export.safetensors import save_safetensors
from fmanet_mm.restoration import load_network
from fmanet_mm.restoration.description import KEY, Description


@pytest.fixture
def model():
    return tiny_network()


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / 'network.safetensors'
    save_safetensors(model, Description.of(model), path)
    return path


def network(**changes):
    return dict(type='FMANet') | changes


def rewrite(file, **changes):
    """Change the description; None leaves it out."""
    with safe_open(file, 'pt') as opened:
        description = json.loads(opened.metadata()[KEY])
    weights = load_file(file)
    save_file(weights, file, {KEY: json.dumps(description | changes)})


def test_the_network_comes_back_without_its_config(model, file):
    loaded = load_network(file)
    assert not loaded.training
    assert loaded.cfg.model.architecture.channels == 30
    assert loaded.cfg.restorer == dict(type='StreamingRestorer')
    weights = loaded.state_dict()
    assert list(weights) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), name
    # And once more, from what came back.
    save_safetensors(loaded, Description.of(loaded), file)
    assert torch.equal(
        load_network(file).net_d.anchor_head[0].weight,
        model.net_d.anchor_head[0].weight,
    )


def test_the_description_says_what_must_be_known(file):
    with safe_open(file, 'pt') as opened:
        description = json.loads(opened.metadata()[KEY])
    assert description['channel_order'] == 'RGB'
    assert description['version'] == __version__
    assert (description['num_frames'], description['scale']) == (3, 2)
    assert description['network']['type'] == 'FMANet'
    assert description['network']['architecture']['num_rdbs'] == 1
    assert description['restorer'] == dict(type='StreamingRestorer')


def test_what_only_training_needs_is_left_out(model):
    model.cfg.model.losses = dict(recon=dict(type='L1Loss'))
    model.cfg.model.data_preprocessor = dict(type='VSRDBDataPreprocessor')
    model.cfg.model.net_d = dict(init_cfg=dict(type='Pretrained', checkpoint='a.pth'))
    network = Description.of(model).network
    assert sorted(network) == ['architecture', 'net_d', 'type']
    assert network['net_d'] == {}


def test_descriptions_of_version_0_1_are_read():
    file = Path(__file__).parents[1] / 'data' / 'fmanet_tiny_v0_1.safetensors'
    with safe_open(file, 'pt') as opened:
        text = opened.metadata()[KEY]
    assert 'network' not in json.loads(text)
    description = Description.from_json(text, file)
    assert description.version == '0.1.0'
    assert description.restorer == dict(type='StreamingRestorer')
    assert description.network['type'] == 'FMANet'
    assert description.network['net_r']['degradation_kernel_size'] == 12
    assert Description.from_json(description.to_json(), file) == description


def test_a_file_without_description_is_named(model, tmp_path):
    path = tmp_path / 'bare.safetensors'
    save_file(model.state_dict(), path)
    with pytest.raises(
        ValueError, match='bare.safetensors does not describe its network'
    ):
        load_network(path)


@pytest.mark.parametrize(
    'changes',
    [
        dict(channel_order='BGR'),
        dict(network=network(net_d=dict(init_cfg=dict(checkpoint='evil.pth')))),
        dict(network=network(net_d=dict(type='mmagic.SRCNN'))),
        dict(network=network(type='builtins.exec')),
        dict(network='evil'),
        dict(network={}),
        dict(restorer='evil'),
        dict(restorer=dict(type='os.system')),
        dict(scale='4'),
        dict(later='unknown'),
    ],
    ids=str,
)
def test_a_description_that_is_not_understood_is_shown(file, changes):
    rewrite(file, **changes)
    with pytest.raises(ValueError, match='does not understand .*export it again'):
        load_network(file)


def test_sizes_that_the_weights_do_not_have_are_refused(file):
    sizes = dict(channels=10**6 * 12, num_frames=3, num_flows=2)
    rewrite(file, network=network(architecture=sizes))
    with pytest.raises(ValueError, match='network.safetensors: .*'):
        load_network(file)


def test_arguments_that_networks_do_not_have_are_refused(file):
    rewrite(file, network=network(net_r=dict(strength=11)))
    with pytest.raises(ValueError, match='strength'):
        load_network(file)
