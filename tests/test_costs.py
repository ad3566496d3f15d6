"""Costs of the published network, counted without computing or timing anything."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fmanet_mm.models import FMANet
from fmanet_mm.ops import WHOLE_FRAMES
from fmanet_mm.ops.live_bytes import LiveBytes

GIB = 2**30
SIZE = 180, 320


def without_computing(precision):
    """Give tensors shapes only; meta tensors are faster, but lack autocast."""
    return torch.device('meta') if precision == 'fp32' else FakeTensorMode()


def autocast(precision):
    if precision == 'fp32':
        return nullcontext()
    return torch.autocast('cpu', torch.bfloat16)


def build(**changes):
    losses = {name: dict(type=nn.L1Loss) for name in FMANet.loss_names}
    return FMANet(changes, losses=losses)


def thousand_macs_per_pixel(call, height, width):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 2 / height / width / 1e3


def test_operations_of_a_window():
    with torch.device('meta'):
        model, window = build(), torch.rand(1, 3, 3, *SIZE)
    cost = thousand_macs_per_pixel(lambda: model.forward_tensor(window), *SIZE)
    assert cost < 21_300, 'the published form takes 24,218'


def test_operations_of_a_frame_of_a_stream():
    with torch.device('meta'):
        model, frames = build(), torch.rand(3, 3, *SIZE)
    with torch.no_grad():
        encoded = [model.encode(frame, WHOLE_FRAMES) for frame in frames.split(1)]

    def restore():
        encoded[-1] = model.encode(frames[-1:], WHOLE_FRAMES)
        model.refine(encoded, WHOLE_FRAMES)

    assert thousand_macs_per_pixel(restore, *SIZE) < 14_700


@pytest.mark.parametrize(('precision', 'limit'), [('fp32', 0.8), ('bf16', 0.5)])
def test_memory_of_a_window(precision, limit):
    with without_computing(precision), torch.no_grad(), autocast(precision):
        model, window = build(), torch.rand(1, 3, 3, *SIZE)
        with LiveBytes() as tensors:
            model.forward_tensor(window)
    assert tensors.peak < limit * GIB, 'the published form takes 2.04 GiB in fp32'


@pytest.mark.parametrize(('precision', 'limit'), [('fp32', 4.0), ('bf16', 2.4)])
def test_memory_of_a_checkpointed_training_step(precision, limit):
    with without_computing(precision):
        model = build(with_cp=True).train()
        inputs = torch.rand(8, 3, 3, 64, 64)
        targets = dict(
            gt_img=torch.rand(8, 3, 3, 256, 256),
            img_sharp=torch.rand(8, 3, 3, 64, 64),
            flow=torch.rand(8, 3, 2, 64, 64),
        )
        with LiveBytes() as tensors:
            with autocast(precision):
                loss = sum(model.forward_train(inputs, targets).values())
            loss.backward()
    assert tensors.peak < limit * GIB, 'the published form takes 24.5 GiB in fp32'
