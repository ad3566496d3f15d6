import pytest
import torch
from mmagic.registry import MODELS
from mmengine import Config

from fmanet_mm.export import export_network

NET = dict(
    channels=12,
    num_frames=3,
    scale=2,
    num_flows=2,
    num_blocks=1,
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=1,
    growth_channels=4,
    num_dense_layers=2,
)


def build_model(stage=2):
    torch.manual_seed(0)
    model = dict(type='FMANet', net_d=dict(type='NetD', kernel_size=6, **NET))
    if stage == 2:
        model['net_r'] = dict(type='NetR', degradation_kernel_size=6, **NET)
    built = MODELS.build(model).eval()
    built.cfg = Config(dict(model=model))
    return built


@pytest.fixture
def make_model():
    """Builds a network as small as it gets that still has all parts of a stage."""
    return build_model


@pytest.fixture
def model():
    """A network as small as it gets that still has all parts."""
    return build_model()


@pytest.fixture(scope='session')
def exported(tmp_path_factory):
    """Exports the network, once to each format."""
    folder = tmp_path_factory.mktemp('exported')

    def export(suffix):
        path = folder / f'network{suffix}'
        if not path.exists():
            export_network(build_model(), path)
        return path

    return export
