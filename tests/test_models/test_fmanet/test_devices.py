"""On a GPU that is not there: fake tensors have a device, and no numbers.

An operation on tensors of two devices fails as it would on a GPU. Autograd's threads
want a true one, so gradients are left out.
"""

from contextlib import contextmanager
from unittest.mock import patch

import pytest
import torch
from tiny_ablations import STREAMED, batch, build_tiny
from torch._subclasses.fake_tensor import FakeTensorMode

from fmanet_mm.ops import Strips
from fmanet_mm.restoration import StreamingRestorer

GPU = torch.device('cuda', 0)


@contextmanager
def fake_gpu():
    # cuDNN's warp cannot be followed without computing it.
    cudnn = torch.backends.cudnn.flags(enabled=False)
    # A copied fake tensor would be of a mode of its own.
    same_mode = patch.object(
        FakeTensorMode, '__deepcopy__', lambda self, memo: self, create=True
    )
    with cudnn, same_mode, FakeTensorMode(), GPU:
        yield


@pytest.fixture(params=['fp32', 'bf16'])
def autocast(request):
    """Without a GPU, ``torch.autocast`` would warn and do nothing."""
    torch.set_autocast_enabled('cuda', request.param == 'bf16')
    torch.set_autocast_dtype('cuda', torch.bfloat16)
    yield
    torch.set_autocast_enabled('cuda', False)
    torch.set_autocast_dtype('cuda', torch.float16)


@pytest.mark.parametrize('name', ('blocks_m1_stage2', *STREAMED))
def test_losses(name, autocast):
    with fake_gpu():
        model = build_tiny(name).train()
        losses = model(*batch(model), mode='loss')
    assert {loss.device for loss in losses.values()} == {GPU}


def test_a_stream_on_strips(monkeypatch, autocast):
    monkeypatch.setattr(
        'fmanet_mm.restoration.streaming.choose_strips', lambda *_: Strips(8)
    )
    with fake_gpu():
        model = build_tiny('blocks_m1_stage2').eval()
        restorer = StreamingRestorer(model, memory_budget=1)
        outputs = list(restorer.restore(torch.rand(4, 3, 24, 10)))
    assert {(out.device, out.shape) for out in outputs} == {(GPU, (3, 96, 40))}


def test_two_devices_are_noticed():
    with fake_gpu():
        model = build_tiny('blocks_m1_stage2')
        window = torch.rand(1, 3, 3, 24, 10, device='cpu')
        with pytest.raises(RuntimeError, match='same device|different devices'):
            model.forward_tensor(window)
