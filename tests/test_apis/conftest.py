import numpy as np
import pytest
import torch
from mmagic.registry import MODELS
from mmengine import Config

from fmanet_mm.video.writer import open_writer


@pytest.fixture
def make_config():
    """A tiny FMA-Net as an MMEngine config."""

    def make(stage=2, num_frames=3, scale=2):
        shared = dict(
            channels=30,
            num_frames=num_frames,
            scale=scale,
            num_flows=3,
            num_blocks=2,
            num_attention_blocks=1,
            num_heads=2,
            num_rdbs=2,
            growth_channels=4,
            num_dense_layers=2,
        )
        model = dict(
            type='FMANet', net_d=dict(type='NetD', kernel_size=scale + 4, **shared)
        )
        if stage == 2:
            model['net_r'] = dict(
                type='NetR', degradation_kernel_size=scale + 4, **shared
            )
        return Config(dict(model=model, default_scope='mmagic'))

    return make


@pytest.fixture
def make_model(make_config):
    """A tiny FMA-Net with random weights."""

    def make(**kwargs):
        torch.manual_seed(0)
        return MODELS.build(make_config(**kwargs).model).eval()

    return make


@pytest.fixture
def config_file(tmp_path, make_config):
    make_config().dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


@pytest.fixture
def checkpoint(tmp_path, make_model):
    torch.save(dict(state_dict=make_model().state_dict()), tmp_path / 'stage2.pth')
    return str(tmp_path / 'stage2.pth')


@pytest.fixture
def make_clip(tmp_path):
    """A video file or a folder of images that move."""

    def make(name, num_frames=4, size=(10, 14), **kwargs):
        y, x = np.mgrid[: size[0], : size[1]]
        with open_writer(tmp_path / name, **kwargs) as writer:
            for index in range(num_frames):
                wave = 127 + 100 * np.sin(0.7 * x + 0.5 * y + index)
                image = np.stack((wave, wave[::-1], 0 * wave + 10 * index), axis=2)
                writer.write(image.astype(np.uint8))
        return str(tmp_path / name)

    return make
