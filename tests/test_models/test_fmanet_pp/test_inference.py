import pytest
import torch
from helpers import tiny_pp_network

from fmanet_mm.ops import Strips
from fmanet_mm.utils.levels import restore_by_levels

VARIANTS = {
    'usual': {},
    'kernels by taps': dict(
        net_r=dict(kernel_embedding=dict(type='TapKernelEmbedding'))
    ),
    'without exposure': dict(exposure=False),
    'modulated': dict(net_r=dict(degradation_attention=dict(type='GuidedModulation'))),
    'flow as it is': dict(net_r=dict(flow_adapter=False)),
}


def restore(network, frames, strips):
    def compute(function, *inputs):
        return function(*inputs, strips)

    return torch.stack(list(restore_by_levels(network, frames, compute)))


@pytest.mark.parametrize('multiple', [1, 8])
@pytest.mark.parametrize('options', VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_it_gives_what_the_model_gives(options, multiple):
    model = tiny_pp_network(**options).double()
    frames = torch.rand(3, 1, 3, 18, 13, dtype=torch.float64)
    expected = model(frames.movedim(0, 1))[0].unsqueeze(1)
    form = model.inference_form(multiple)
    for strips in (Strips(), Strips(8)):
        given = restore(form, frames, strips)
        torch.testing.assert_close(given, expected, rtol=0, atol=1e-12)


def test_features_carry_channels_in_multiples():
    state = tiny_pp_network().inference_form(8).encode(torch.rand(1, 3, 9, 13))
    assert state.feature.size(1) == 16
    assert not state.feature[:, 12:].any()


def test_parts_that_cannot_be_padded_keep_their_width():
    modulated = dict(degradation_attention=dict(type='GuidedModulation'))
    form = tiny_pp_network(net_r=modulated).inference_form(8)
    assert form.encode(torch.rand(1, 3, 9, 13)).feature.size(1) == 12


def test_the_model_is_left_alone():
    model = tiny_pp_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    form = model.inference_form(8).to(torch.bfloat16)
    assert not any(parameter.requires_grad for parameter in form.parameters())
    for name, value in model.state_dict().items():
        assert value.equal(before[name]), name
