"""Checkpoints as other training programs write them."""

import pytest
import torch
from helpers import tiny_config, tiny_network

from fmanet_mm.restoration import load_network


@pytest.fixture(scope='module')
def weights():
    return tiny_network().state_dict()


def prefixed(prefix, weights):
    return {prefix + name: weight for name, weight in weights.items()}


def other(weights):
    return {name: weight + 1 for name, weight in weights.items()}


WRAPPERS = {
    'bare': lambda w: w,
    'state_dict': lambda w: dict(state_dict=w, meta=dict(iter=3)),
    'module': lambda w: dict(state_dict=prefixed('module.', w)),
    'module bare': lambda w: prefixed('module.', w),
    'compiled': lambda w: dict(model=prefixed('_orig_mod.module.', w)),
    'generator': lambda w: dict(state_dict=prefixed('generator.', w)),
    'lightning': lambda w: dict(
        state_dict={**prefixed('net.', w), 'loss.scale': torch.ones(1)}, epoch=2
    ),
    'params': lambda w: dict(params=w),
    'params_ema': lambda w: dict(params=other(w), params_ema=w),
    'generator_ema': lambda w: dict(
        state_dict={**other(w), **prefixed('generator_ema.', w)}
    ),
    'mmengine ema': lambda w: dict(
        state_dict=w, ema_state_dict=prefixed('module.', other(w))
    ),
    'swa': lambda w: {**prefixed('module.', w), 'n_averaged': torch.tensor(3)},
    'nested': lambda w: dict(model=dict(state_dict=w)),
    'model_state_dict': lambda w: dict(
        model_state_dict=w,
        epoch=3,
        optimizer=dict(state={0: dict(exp_avg=torch.ones(3))}),
    ),
    'half': lambda w: dict(state_dict={name: x.half() for name, x in w.items()}),
}
NOTES = {
    'module': "under 'state_dict.module'",
    'module bare': "under 'module'",
    'compiled': "under 'model._orig_mod.module'",
    'generator': "under 'state_dict.generator'",
    'lightning': "under 'state_dict.net'",
    'params': "under 'params'",
    'params_ema': "under 'params_ema', not those under 'params'",
    'generator_ema': "under 'state_dict.generator_ema', not those under 'state_dict'",
    'mmengine ema': "under 'state_dict', not those under 'ema_state_dict.module'",
    'swa': "under 'module'",
    'nested': "under 'model.state_dict'",
    'model_state_dict': "under 'model_state_dict'",
}


@pytest.mark.parametrize('wrapper', WRAPPERS)
def test_weights_are_found_and_what_was_chosen_is_said(
    tmp_path, weights, wrapper, caplog
):
    torch.save(WRAPPERS[wrapper](weights), tmp_path / 'a.pth')
    loaded = load_network(tmp_path / 'a.pth', tiny_config()).state_dict()
    for name, weight in weights.items():
        torch.testing.assert_close(loaded[name], weight, atol=1e-3, rtol=1e-3)
    if wrapper in NOTES:
        assert f'a.pth: took the weights {NOTES[wrapper]}' in caplog.text
    else:
        assert caplog.text == ''


def test_stage_2_starts_from_a_wrapped_stage_1(tmp_path):
    from fmanet_mm.models.common.pretrained import StrictPretrainedInit

    network = tiny_network(stage=1)
    stage1 = dict(params=prefixed('module.', network.state_dict()))
    torch.save(stage1, tmp_path / 'a.pth')
    net_d = tiny_network().net_d
    StrictPretrainedInit(str(tmp_path / 'a.pth'), prefix='net_d.')(net_d)
    for name, weight in network.net_d.state_dict().items():
        torch.testing.assert_close(net_d.state_dict()[name], weight)


@pytest.mark.parametrize('wrap', [lambda w: w, lambda w: prefixed('module.', w)])
def test_what_does_not_fit_is_refused_with_the_truth(tmp_path, weights, wrap):
    def refusal(content, config):
        torch.save(dict(params=wrap(content)), tmp_path / 'a.pth')
        with pytest.raises(ValueError, match='a.pth') as error:
            load_network(tmp_path / 'a.pth', config)
        return str(error.value)

    stage_1 = tiny_network(stage=1).state_dict()
    assert 'of stage 1, the config of stage 2' in refusal(stage_1, tiny_config())
    message = refusal(weights, tiny_config(stage=1))
    assert 'of stage 2, the config of stage 1' in message
    assert 'of another shape' in refusal(weights, tiny_config(channels=60))
    foreign = refusal({'conv_first.weight': torch.ones(2)}, tiny_config())
    assert 'conv_first.weight' in foreign
    assert 'stage' not in foreign.replace('FMANetStage', '')
