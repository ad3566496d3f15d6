"""On a GPU that is not there, see :mod:`fake_gpu`."""

import torch
from fake_gpu import GPU, fake_gpu
from helpers import tiny_pp_config, tiny_pp_network
from mmengine.registry import MODELS
from torch import nn

from fmanet_mm.ops import Strips
from fmanet_mm.restoration import LevelRestorer


def test_losses(autocast):
    config = tiny_pp_config().model
    names = ('recon', 'hr_warp', 'flow', 'restoration')
    config['losses'] = {name: nn.L1Loss() for name in names}
    with fake_gpu():
        samples = dict(
            gt_img=torch.rand(1, 3, 3, 16, 24), flow=torch.rand(1, 6, 2, 8, 12)
        )
        model = MODELS.build(config).train()
        losses = model(torch.rand(1, 3, 3, 8, 12), samples, mode='loss')
    assert {loss.device for loss in losses.values()} == {GPU}


def test_a_stream_on_strips(monkeypatch, autocast):
    monkeypatch.setattr(
        'fmanet_mm.restoration.streaming.choose_strips', lambda *_: Strips(8)
    )
    with fake_gpu():
        restorer = LevelRestorer(tiny_pp_network(num_blocks=1), memory_budget=1)
        outputs = list(restorer.restore(torch.rand(2, 3, 16, 10)))
    assert {(out.device, out.shape) for out in outputs} == {(GPU, (3, 32, 20))}
