import golden
import pytest
import torch

from fmanet_mm.models import FMANet


@pytest.fixture
def model():
    data = golden.load('tiny_stage2')
    net_d = dict(type='NetD', **golden.net_d_config(data))
    net_r = dict(type='NetR', **golden.net_r_config(data))
    torch.manual_seed(0)
    return FMANet(net_d, net_r).eval()
