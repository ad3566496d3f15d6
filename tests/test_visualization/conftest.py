import golden
import pytest
import torch

from fmanet_mm.models import FMANet


@pytest.fixture
def model():
    data = golden.load('tiny_stage2')
    torch.manual_seed(0)
    nets = golden.net_d_config(data), golden.net_r_config(data)
    return FMANet(None, *nets).eval()
