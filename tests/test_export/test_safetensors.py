import json

import pytest
import torch
from fmanet_mm.export.description import KEY
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fmanet_mm import __version__
from fmanet_mm.export import Description, load_safetensors_model, save_safetensors


@pytest.fixture
def file(model, tmp_path):
    path = tmp_path / 'network.safetensors'
    save_safetensors(model, Description.of(model), path)
    return path


def rewrite(file, **changes):
    """Change the description; None leaves it out."""
    with safe_open(file, 'pt') as opened:
        description = json.loads(opened.metadata()[KEY])
    weights = load_file(file)
    save_file(weights, file, {KEY: json.dumps(description | changes)})


def test_the_network_comes_back_without_its_config(model, file):
    loaded = load_safetensors_model(file)
    assert not loaded.training
    assert loaded.cfg.model.net_d.channels == 12
    weights = loaded.state_dict()
    assert list(weights) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(weights[name], value), name
    # And once more, from what came back.
    save_safetensors(loaded, Description.of(loaded), file)
    assert torch.equal(
        load_safetensors_model(file).net_d.anchor_head[0].weight,
        model.net_d.anchor_head[0].weight,
    )


def test_the_description_says_what_must_be_known(file):
    with safe_open(file, 'pt') as opened:
        description = json.loads(opened.metadata()[KEY])
    assert description['channel_order'] == 'RGB'
    assert description['version'] == __version__
    assert (description['num_frames'], description['scale']) == (3, 2)
    assert description['net_d']['num_rdbs'] == 1
    assert 'type' not in description['net_d']


def test_a_file_without_description_is_named(model, tmp_path):
    path = tmp_path / 'bare.safetensors'
    save_file(model.state_dict(), path)
    with pytest.raises(ValueError, match='bare.safetensors does not say which network'):
        load_safetensors_model(path)


@pytest.mark.parametrize(
    'changes',
    [
        dict(channel_order='BGR'),
        dict(net_d=dict(init_cfg=dict(type='Pretrained', checkpoint='evil.pth'))),
        dict(net_d='evil'),
        dict(scale='4'),
        dict(later='unknown'),
    ],
    ids=str,
)
def test_a_description_that_is_not_understood_is_shown(file, changes):
    rewrite(file, **changes)
    with pytest.raises(ValueError, match='does not understand: .*export it again'):
        load_safetensors_model(file)


def test_sizes_that_the_weights_do_not_have_are_refused(file):
    rewrite(file, net_d=dict(channels=10**6 * 12, num_frames=3, num_flows=2))
    with pytest.raises(ValueError, match='network.safetensors: .*'):
        load_safetensors_model(file)


def test_arguments_that_networks_do_not_have_are_refused(file):
    rewrite(file, net_r=dict(strength=11))
    with pytest.raises(ValueError, match='strength'):
        load_safetensors_model(file)
