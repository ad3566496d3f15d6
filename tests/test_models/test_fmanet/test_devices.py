"""On a GPU that is not there, see :mod:`fake_gpu`."""

import pytest
import torch
from fake_gpu import GPU, fake_gpu
from tiny_ablations import STREAMED, batch, build_tiny

from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.restoration import StreamingRestorer


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


def test_a_stream_in_batches(monkeypatch, autocast):
    """What fits into memory is found with tensors that are on no device."""
    monkeypatch.setattr(
        'fmanet_mm.restoration.streaming.choose_strips', lambda *_: WHOLE_FRAMES
    )
    monkeypatch.setattr(StreamingRestorer, 'measure', lambda *_, batch_size: 1)
    with fake_gpu():
        model = build_tiny('blocks_m1_stage2').eval()
        restorer = StreamingRestorer(model, memory_budget=1)
        outputs = list(restorer.restore(torch.rand(3, 3, 90, 160)))
    assert restorer.batch_size == 4
    assert {(out.device, out.shape) for out in outputs} == {(GPU, (3, 360, 640))}
    assert len(outputs) == 3


def test_two_devices_are_noticed():
    with fake_gpu():
        model = build_tiny('blocks_m1_stage2')
        window = torch.rand(1, 3, 3, 24, 10, device='cpu')
        with pytest.raises(RuntimeError, match='same device|different devices'):
            model.forward_tensor(window)
