"""How the optimizer computes its steps."""

import pytest
import torch

from fmanet_mm.engine import Bf16OptimWrapper
from fmanet_mm.engine.optim_wrapper import keep_step_settings, with_fused_step

CPU, GPU = torch.device('cpu'), torch.device('cuda', 0)


def wrapper(wrapper_type='OptimWrapper', **optimizer):
    return dict(type=wrapper_type, optimizer=dict(type='Adam', lr=2e-4) | optimizer)


@pytest.mark.parametrize('name', ['Adam', 'AdamW'])
@pytest.mark.parametrize('wrapper_type', ['OptimWrapper', 'Bf16OptimWrapper'])
def test_adam_is_fused_on_a_gpu(name, wrapper_type):
    config = wrapper(wrapper_type, type=name)
    fused = with_fused_step(config, GPU)
    assert fused == wrapper(wrapper_type, type=name, fused=True)
    assert 'fused' not in config['optimizer'], 'the config is as before'


@pytest.mark.parametrize(
    ('config', 'device'),
    [
        (wrapper(), CPU),
        (wrapper('AmpOptimWrapper'), GPU),
        (wrapper(fused=False), GPU),
        (wrapper(foreach=True), GPU),
        (dict(optimizer=dict(type='SGD', lr=0.1)), GPU),
        (dict(constructor='SeveralOptimizers', net_d=dict(optimizer=None)), GPU),
    ],
)
def test_other_steps_are_left_as_they_are(config, device):
    assert with_fused_step(config, device) is config


def test_a_state_with_a_gradient_scaler_continues_without_it():
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    saved = optimizer.state_dict() | dict(loss_scaler=dict(scale=512.0))
    resumed = Bf16OptimWrapper(optimizer=torch.optim.Adam(model.parameters()))
    keep_step_settings(saved, resumed.optimizer)
    resumed.load_state_dict(saved)
    assert resumed.optimizer.state[model.bias]['step'] == 1
