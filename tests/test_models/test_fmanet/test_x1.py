"""Networks that sharpen without enlarging."""

import torch
from helpers import tiny_network
from torch import nn

from fmanet_mm.restoration.loading import build_restorer


def test_a_clip_keeps_its_size():
    network = tiny_network(scale=1)
    clip = torch.rand(4, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        frames = [*build_restorer(network).restore(clip)]
        window = network(clip[None, 0:3])
    assert [tuple(frame.shape) for frame in frames] == [(3, 12, 20)] * 4
    torch.testing.assert_close(frames[1], window[0], atol=1e-5, rtol=0)


def test_training_steps_lower_the_loss():
    """Of all terms, with the sharp frames of both kinds the same."""
    network = tiny_network(scale=1).train()
    for name in network.loss_names:
        network.losses[name] = nn.L1Loss()
    generator = torch.Generator().manual_seed(1)
    sharp = torch.rand(1, 3, 3, 16, 16, generator=generator)
    blurry = nn.functional.avg_pool2d(sharp[0], 3, 1, 1)[None]
    targets = dict(gt_img=sharp, img_sharp=sharp, flow=torch.zeros(1, 3, 2, 16, 16))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    losses = []
    for _ in range(6):
        terms = network.forward_train(blurry, targets)
        assert len(terms) == 7
        loss = sum(terms.values())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]
