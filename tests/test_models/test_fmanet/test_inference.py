"""The inference form equals the model it is made from."""

import golden
import golden_model
import pytest
import torch
from helpers import tiny_network
from tiny_ablations import STREAMED, build_tiny

from fmanet_mm.models.common.inference import Widths, inference_form
from fmanet_mm.models.common.modulation import GuidedModulation
from fmanet_mm.ops import WHOLE_FRAMES, Strips
from fmanet_mm.restoration import StreamingRestorer

PADDED = dict(channels=42, num_flows=3)
"""42 channels are carried as 48, and 21 of a head as 24."""


def windows(model, height=20, width=12, num=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    size = num, model.num_frames, 3, height, width
    return torch.rand(size, generator=generator, dtype=dtype)


def disturbed(model):
    """With weights that are not those of the initialisation: no gain is 1."""
    generator = torch.Generator().manual_seed(2)
    for weight in model.parameters():
        noise = torch.randn(weight.shape, generator=generator)
        weight.data += 0.05 * noise
    return model.eval().double()


def assert_equal(model, form, strips=WHOLE_FRAMES):
    """In float64, as windows and as a stream."""
    inputs = windows(model)
    with torch.no_grad():
        expected = model(inputs)
        given = form.restore_window(inputs, strips)
        encoded = [form.encode(frame, strips) for frame in inputs.unbind(1)]
        streamed = form.refine(encoded, strips)
    assert expected.std() > 0.01
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(streamed, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize('name', STREAMED)
def test_equals_every_kind_of_model(name):
    model = disturbed(build_tiny(name))
    assert_equal(model, model.inference_form(8))


@pytest.mark.parametrize('multiple', [1, 8])
@pytest.mark.parametrize('strips', [WHOLE_FRAMES, Strips(8)])
@pytest.mark.parametrize(
    'changes',
    [{}, dict(norm_with_bias=False), dict(centre_attention=dict(type='SelfAttention'))],
)
def test_equals_with_padded_channels(changes, strips, multiple):
    model = disturbed(tiny_network(**PADDED, **changes))
    form = model.inference_form(multiple)
    with torch.no_grad():
        feature = form.encode(windows(model)[:, 0], strips).features_r[-1]
    assert feature.size(1) == {1: 42, 8: 48}[multiple]
    assert not feature[:, 42:].any()
    assert_equal(model, form, strips)


def test_is_a_copy():
    model = tiny_network()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    form = model.inference_form().half()
    assert not any(weight.requires_grad for weight in form.parameters())
    assert model.state_dict().keys() == before.keys()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    'changes',
    [
        dict(channels=40, num_frames=5),  # 5 frames do not share 40 or 48 channels ...
        dict(channels=30),  # ... and 3 do not share 32
    ],
)
def test_channels_that_frames_cannot_share_are_not_padded(changes):
    model = disturbed(tiny_network(**changes))
    form = model.inference_form(16)
    with torch.no_grad():
        features = form.encode(windows(model)[:, 0]).features_d
    assert features[0].size(1) == changes['channels']
    assert_equal(model, form)


def test_a_part_without_padded_form_is_named():
    part = GuidedModulation(8, num_heads=2, ffn_expansion=2.0, norm_with_bias=True)
    assert inference_form(part, Widths(1)) is part
    with pytest.raises(NotImplementedError, match='GuidedModulation has no form'):
        inference_form(part, Widths(8))


@pytest.mark.parametrize('multiple', [1, 8])
def test_golden_output(multiple):
    data = golden.load('tiny_stage2')
    model = golden_model.build(data).eval()
    inputs, _ = golden_model.batch(data)
    with torch.no_grad():
        given = model.inference_form(multiple).restore_window(inputs)
    expected = data['outputs']['output']
    torch.testing.assert_close(given, expected.reshape(given.shape), rtol=0, atol=1e-4)


def test_bfloat16_is_as_exact_as_autocast():
    model = disturbed(tiny_network(**PADDED)).float()
    inputs = windows(model, dtype=torch.float32)
    with torch.no_grad():
        expected = model(inputs)[0]
        with torch.autocast('cpu', torch.bfloat16):
            autocast = model(inputs)[0]
    frames = iter(inputs[0])
    restorer = StreamingRestorer(model, autocast_dtype=torch.bfloat16)
    given = list(restorer.restore(frames))[1]
    assert restorer.prepared.net_d.flow_head[0].weight.dtype == torch.bfloat16
    assert 0 < (given - expected).square().mean()
    assert (given - expected).square().mean() < 1.1 * (
        (autocast - expected).square().mean()
    )


@pytest.fixture
def kernels_on_cpus(monkeypatch):
    """Kernels of GPUs, run by Triton's interpreter, are found for tensors of CPUs."""
    if torch.cuda.is_available():
        pytest.skip('with a GPU, Triton does not interpret its kernels')
    kernels = pytest.importorskip('fmanet_mm.ops.triton_kernels')
    for module in ('ops.fused', 'models.common.inference'):
        monkeypatch.setattr(f'fmanet_mm.{module}.find_kernels', lambda x: kernels)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_kernels_of_gpus_give_the_same(monkeypatch, kernels_on_cpus, dtype):
    model = disturbed(tiny_network(**PADDED))
    form = model.inference_form(8).to(dtype)
    inputs = windows(model, height=7, width=5)
    with torch.no_grad():
        given = form.restore_window(inputs.to(dtype))
        expected = model(inputs)
        monkeypatch.undo()
        plain = form.restore_window(inputs.to(dtype))
    error, plain_error = (
        (output - expected).abs().max().item() for output in (given, plain)
    )
    assert 0 < error < max(1.5 * plain_error, 1e-5)
