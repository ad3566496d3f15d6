"""Loading networks, from whatever file and config."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import noise_images, tiny_config
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from fmanet_mm.cli import arguments
from fmanet_mm.export import export_network
from fmanet_mm.models import FMANet
from fmanet_mm.restoration import VideoRestorer, load_network, load_restorer, loading
from fmanet_mm.restoration.images import to_image, to_tensor
from fmanet_mm.restoration.loading import AUTOCAST_DTYPES, find_config
from fmanet_mm.utils import config_root

V0_1 = Path(__file__).parents[1] / 'data' / 'fmanet_tiny_v0_1.safetensors'
BICUBIC = Config(
    dict(
        model=dict(
            type='BaseEditModel',
            generator=dict(type='BicubicUpsampling', scale=4),
            pixel_loss=dict(type='L1Loss'),
        ),
        restorer=dict(type='WindowRestorer', num_frames=3, scale=4),
    )
)


def test_half_precision_is_near_and_does_not_leak(config_file, checkpoint):
    images = noise_images(3)
    plain, half = (
        VideoRestorer.load(checkpoint, config_file, device='cpu', dtype=dtype)
        for dtype in ('fp32', 'bf16')
    )
    differences = []
    for image, expected in zip(
        half.restore_frames(images), plain.restore_frames(images), strict=True
    ):
        assert not torch.is_autocast_enabled('cpu')
        assert not torch.is_inference_mode_enabled()
        assert image.dtype == np.uint8
        differences.append(np.abs(image.astype(int) - expected))
    assert 0 < np.max(differences)
    assert np.mean(differences) < 2


def test_the_command_offers_the_types_that_there_are():
    assert arguments.DTYPES == tuple(AUTOCAST_DTYPES)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(dtype='fp16'), 'fp16 needs a GPU'),
        (dict(dtype='fp8'), r"one of \['fp32', 'bf16', 'fp16'\], got 'fp8'"),
        (dict(device='tpu9'), "there is no device 'tpu9'"),
        (dict(memory_budget=0), 'memory_budget must be a positive'),
        (dict(checkpoint=None), 'no checkpoint was given'),
        (dict(checkpoint=None, config=None), 'no checkpoint was given'),
        (dict(config=None), 'stage2.pth does not describe its network'),
    ],
)
def test_bad_arguments_are_named(config_file, checkpoint, arguments, message):
    given = dict(config=config_file, checkpoint=checkpoint, device='cpu') | arguments
    with pytest.raises(ValueError, match=message):
        load_restorer(**given)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there_is_named(config_file, checkpoint):
    with pytest.raises(ValueError, match='there is no cuda device for cuda:1'):
        load_restorer(checkpoint, config_file, device='cuda:1')


# Configs


@pytest.mark.parametrize(
    'name', ['fmanet_s_stage2', 'fmanet_s_stage2.py', 'baselines/bicubic']
)
def test_finds_the_configs_of_the_project(name):
    assert find_config(name) == config_root() / f'{name.removesuffix(".py")}.py'


@pytest.mark.parametrize(
    'name', ['absent', 'absent/fmanet_stage2.py', '../tools/train', '']
)
def test_names_a_missing_config_and_those_there_are(name):
    with pytest.raises(FileNotFoundError, match=f'config {name}; .*fmanet_s_stage2'):
        find_config(name)


def test_a_file_of_ones_own_comes_before_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('fmanet_stage2.py').touch()
    assert find_config('fmanet_stage2.py') == Path('fmanet_stage2.py')


def test_what_only_training_needs_is_not_built(checkpoint):
    """Such as parts that MMagic alone knows, not MMEngine."""
    config = tiny_config()
    config.model.data_preprocessor = dict(type='VSRDBDataPreprocessor')
    config.model.losses = dict(recon=dict(type='NoSuchLoss'))
    config.model.net_d = dict(init_cfg=dict(type='Pretrained', checkpoint='absent'))
    with DefaultScope.overwrite_default_scope('mmengine'):
        network = load_network(checkpoint, config)
    assert len(network.losses) == 0


@pytest.mark.parametrize('name', ['fmanet_stage2', 'fmanet_s_stage2'])
def test_the_configs_of_the_project_restore_windows_of_3(name):
    from fmanet_mm.restoration.loading import build_network, load_config

    with torch.device('meta'):
        network = build_network(load_config(name))
    assert (network.num_frames, network.scale) == (3, 4)


# Files that describe their network


def test_weights_that_describe_themselves_need_no_config(
    tmp_path, config_file, checkpoint
):
    path = tmp_path / 'net.safetensors'
    export_network(load_network(checkpoint, config_file), path)
    images = noise_images(2)
    described, configured = (
        VideoRestorer.load(*arguments, device='cpu')
        for arguments in ([path], [checkpoint, config_file])
    )
    np.testing.assert_array_equal(
        list(described.restore_frames(images)), list(configured.restore_frames(images))
    )


def test_files_of_version_0_1_still_load():
    """Their descriptions have the two nets at the top."""
    restorer = load_restorer(V0_1, device='cpu')
    assert isinstance(restorer.network, FMANet)
    assert (restorer.context, restorer.scale) == (1, 4)
    configured = load_restorer(V0_1, config_root() / 'demo/tiny_stage2.py')
    frames = [to_tensor(image) for image in noise_images(2)]
    for frame, other in zip(
        restorer.restore(frames), configured.restore(frames), strict=True
    ):
        assert torch.equal(frame, other)


@pytest.mark.parametrize('arguments', [dict(dtype='bf16'), dict(memory_budget=1)])
def test_graphs_are_computed_as_they_are(tmp_path, arguments):
    with pytest.raises(ValueError, match='net.onnx is computed in fp32, on whole'):
        load_restorer(tmp_path / 'net.onnx', device='cpu', **arguments)


def test_a_graph_that_may_run_code_must_be_trusted(tmp_path):
    (tmp_path / 'net.pt2').touch()
    with pytest.raises(ValueError, match='trusted=True'):
        load_restorer(tmp_path / 'net.pt2', device='cpu')


# Networks within MMagic's models


def test_a_network_without_weights_needs_no_checkpoint():
    restorer = VideoRestorer.load(None, BICUBIC, device='cpu')
    image = np.full((9, 13, 3), 100, np.uint8)
    (restored,) = restorer.restore_frames([image])
    assert restored.shape == (36, 52, 3)
    assert (restored == 100).all()


def test_a_generator_is_found_in_checkpoints_of_its_model(tmp_path):
    @MODELS.register_module(force=True)
    class Brighten(nn.Module):
        """One weight, and a buffer that no checkpoint holds."""

        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(1))
            self.register_buffer('offset', torch.full((1,), 0.25), persistent=False)

        def forward(self, window):
            return window[:, window.size(1) // 2] * self.gain + self.offset

    config = Config(
        dict(
            model=dict(type='BaseEditModel', generator=dict(type='Brighten')),
            restorer=dict(type='WindowRestorer', num_frames=3, scale=1),
        )
    )
    path = tmp_path / 'iter_1.pth'
    weights = {'generator.gain': torch.tensor([0.5]), 'data_preprocessor.mean': 1}
    torch.save(dict(state_dict=weights), path)
    restorer = load_restorer(path, config, device='cpu')
    (restored,) = restorer.restore([torch.full((3, 4, 5), 0.5)])
    assert (to_image(restored) == 128).all()


def test_a_network_of_mmagic_is_built_by_its_name(tmp_path):
    pytest.importorskip('mmagic')
    net = dict(type='SRCNNNet', channels=(3, 4, 4, 3), kernel_sizes=(3, 1, 3))
    config = Config(dict(model=dict(type='BaseEditModel', generator=net)))
    weights = {'generator.conv1.weight': torch.zeros(4, 3, 3, 3)}
    torch.save(dict(state_dict=weights), tmp_path / 'net.pth')
    with pytest.raises(ValueError, match='(?s)net.pth: .*Missing key.*conv2.weight'):
        load_network(tmp_path / 'net.pth', config)


def test_without_mmagic_its_networks_say_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'mmagic']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, 'mmagic', None)
    config = Config(dict(model=dict(type='NoSuchNetwork')))
    with pytest.raises(ImportError, match=r'fmanet_mm\[train\]|setup_env\.sh'):
        load_network(None, config)


def test_an_unknown_network_is_named():
    pytest.importorskip('mmagic')
    config = Config(dict(model=dict(type='NoSuchNetwork')))
    with pytest.raises(ValueError, match="there is no network 'NoSuchNetwork'"):
        load_network(None, config)


@pytest.mark.parametrize(
    ('supported', 'dtype'), [(True, torch.bfloat16), (False, torch.float16)]
)
def test_a_gpu_without_bf16_computes_in_fp16(monkeypatch, capsys, supported, dtype):
    class Network(torch.nn.Identity):
        def to(self, device):
            return self

    monkeypatch.setattr(loading, 'find_device', torch.device)
    monkeypatch.setattr(loading, 'load_network', lambda *_: Network())
    monkeypatch.setattr(loading, 'build_restorer', lambda network, **chosen: chosen)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda **_: supported)
    chosen = load_restorer('weights.pth', 'config', device='cuda', dtype='bf16')
    assert chosen['autocast_dtype'] == dtype
    assert ('computing in fp16' in capsys.readouterr().out) != supported
