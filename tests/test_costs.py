"""What the published network costs, counted without computing or timing anything."""

from contextlib import nullcontext

import pytest
import torch
from mmagic.structures import DataSample
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from fmanet_mm.models import FMANet
from fmanet_mm.models.fmanet.refinement_net import stack_window
from fmanet_mm.ops.live_bytes import LiveBytes

GIB = 2**30
SIZE = 180, 320
LOSSES = ('recon', 'hr_warp', 'flow', 'ta_d', 'restoration', 'lr_warp', 'ta_r')


def without_computing(precision):
    """Where tensors have shapes only: quickly, or slowly but with autocast."""
    return torch.device('meta') if precision == 'fp32' else FakeTensorMode()


def autocast(precision):
    if precision == 'fp32':
        return nullcontext()
    return torch.autocast('cpu', torch.bfloat16)


def build(**changes):
    return FMANet(
        dict(type='NetD', **changes),
        dict(type='NetR', **changes),
        losses={name: dict(type='L1Loss') for name in LOSSES},
    )


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
    net_d, net_r = model.net_d, model.net_r

    def encode(frame):
        levels = net_d.encode(frame)
        return levels, net_r.encode(frame, levels[-1])

    with torch.no_grad():
        encoded = [encode(frame) for frame in frames.split(1)]

    def restore():
        encoded[-1] = encode(frames[-1:])
        levels_d, levels_r = zip(*encoded, strict=True)
        degradation = net_d.refine(stack_window(levels_d))
        net_r.refine(frames.unsqueeze(0), stack_window(levels_r), degradation)

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
        targets = DataSample()
        targets.set_tensor_data(
            dict(
                gt_img=torch.rand(8, 3, 3, 256, 256),
                img_sharp=torch.rand(8, 3, 3, 64, 64),
                flow=torch.rand(8, 3, 2, 64, 64),
            )
        )
        with LiveBytes() as tensors:
            with autocast(precision):
                loss = sum(model.forward_train(inputs, targets).values())
            loss.backward()
    assert tensors.peak < limit * GIB, 'the published form takes 24.5 GiB in fp32'
