"""Starting from the weights of a trained network."""

import torch
from helpers import tiny_config, tiny_network, tiny_pp_network
from mmengine.config import Config

from fmanet_mm.engine import FineTuneHook, adopt_network
from fmanet_mm.export import export_network
from fmanet_mm.models.fmanet.fmanet import FMANetStage1
from fmanet_mm.restoration.loading import build_network
from fmanet_mm.utils import config_root


class Runner:
    def __init__(self, model):
        self.model = model


def load(name):
    path = config_root() / f'{name}.py'
    return Config.fromfile(path, import_custom_modules=False)


def stage_1(config):
    model = {key: config.model.get(key) for key in ('architecture', 'net_d')}
    return FMANetStage1(**model)


def test_an_exported_file_brings_its_architecture(tmp_path):
    path = tmp_path / 'net.safetensors'
    network = tiny_network()
    export_network(network, path)
    for name in ('finetune_stage2', 'fmanet_stage2'):
        config = load(name)
        adopt_network(config, str(path))
        build_network(config).load_state_dict(network.state_dict())
        assert 'recon' in config.model.losses
    config = load('finetune_stage1')
    adopt_network(config, str(path))
    assert config.model.type == 'FMANetStage1'
    assert 'net_r' not in config.model
    stage_1(config)


def test_the_demo_fits_the_default_start_of_the_configs():
    for stage in (1, 2):
        config = load(f'finetune_stage{stage}')
        adopt_network(config, config.load_from)
        assert config.model.architecture.channels == 48
        assert config.model.net_d.downsampling.type == 'DynamicDownsampling'


def test_other_files_leave_the_config_as_it_is(tmp_path):
    checkpoint = tmp_path / 'net.pth'
    torch.save(tiny_network().state_dict(), checkpoint)
    for name, file in (
        ('finetune_stage2', str(checkpoint)),
        ('finetune_stage2', 'https://example.org/net.safetensors'),
        ('demo/tiny_restormer', str(config_root() / 'demo/fmanet_demo.safetensors')),
    ):
        config = load(name)
        before = config.model.to_dict()
        adopt_network(config, file)
        assert config.model.to_dict() == before


def test_stage_1_starts_from_net_d_alone():
    network = tiny_network()
    checkpoint = dict(state_dict=dict(network.state_dict()))
    model = stage_1(tiny_config())
    FineTuneHook().after_load_checkpoint(Runner(model), checkpoint)
    model.load_state_dict(checkpoint['state_dict'])
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, network.state_dict()[name])


def test_stage_2_may_keep_the_net_d_of_a_stage_1():
    network, model = tiny_network(), tiny_network()
    for parameter in model.parameters():
        parameter.data.fill_(0.5)
    checkpoint = dict(state_dict=dict(network.state_dict()))
    FineTuneHook(keep_net_d=True).after_load_checkpoint(Runner(model), checkpoint)
    for name, weight in checkpoint['state_dict'].items():
        given = model if name.startswith('net_d.') else network
        assert torch.equal(weight, given.state_dict()[name])


def test_an_exported_fmanet_pp_brings_its_extractor(tmp_path):
    path = tmp_path / 'net.safetensors'
    network = tiny_pp_network(scale=4)
    export_network(network, path)
    config = load('fmanet_pp/stage2')
    adopt_network(config, str(path))
    build_network(config).load_state_dict(network.state_dict())
    config = load('fmanet_pp/stage1')
    adopt_network(config, str(path))
    assert config.model.type == 'FMANetPPStage1'
    assert config.model.exposure.width == 4 and 'net_r' not in config.model
    # The other family stays as it is.
    config = load('fmanet_stage2')
    before = config.model.to_dict()
    adopt_network(config, str(path))
    assert config.model.to_dict() == before


def test_fmanet_pp_may_keep_the_extractor_and_net_d_of_a_stage_1():
    network, model = tiny_pp_network(), tiny_pp_network()
    for parameter in model.parameters():
        parameter.data.fill_(0.5)
    checkpoint = dict(state_dict=dict(network.state_dict()))
    FineTuneHook(keep_net_d=True).after_load_checkpoint(Runner(model), checkpoint)
    for name, weight in checkpoint['state_dict'].items():
        given = network if name.startswith('net_r.') else model
        assert torch.equal(weight, given.state_dict()[name])
        assert weight.dtype == network.state_dict()[name].dtype
