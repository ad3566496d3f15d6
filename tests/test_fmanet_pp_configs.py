"""The configs of FMA-Net++: stages that fit each other, and what the paper says."""

import re

import pytest
import torch
from mmagic.registry import MODELS
from test_configs import NAMES, PP, datasets, flatten, load

PP_NAMES = [name for name in NAMES if name.startswith(PP)]


@pytest.mark.parametrize('name', PP_NAMES)
def test_fmanet_pp_starts_from_the_last_checkpoints_of_the_stages_before(name):
    config = load(name)
    assert config.work_dir == f'work_dirs/{name}'
    starts = {
        net: (config.model.get(net) or {}).get('init_cfg')
        for net in ('exposure', 'net_d')
    }
    if 'ete' in name or name.endswith('gopro'):  # the first stage, and only a test
        assert not any(starts.values())
        return
    is_joint = '/stage2' in name or name.endswith('_stage2')
    assert bool(starts['net_d']) == is_joint
    family = 'FMANet' if 'tiny_fmanet' in name else 'FMANetPP'
    if 'no_exposure' in name:
        assert config.model.exposure is None
    elif family == 'FMANetPP':
        assert starts['exposure'].prefix == 'exposure_net.'
        before = 'FMANetPPStage1' if is_joint else 'FMANetPPExposure'
        check_start(starts['exposure'], before)
    if is_joint:
        assert starts['net_d'].prefix == 'net_d.'
        trained = check_start(starts['net_d'], f'{family}Stage1')
        for key in ('architecture', 'exposure'):
            same = [flatten(c.model.get(key) or {}) for c in (config, trained)]
            for settings in same:
                settings.pop('init_cfg.checkpoint', None)
            assert same[0] == same[1]


def check_start(init_cfg, model):
    """Check where a net starts from, and give the config that it was trained by."""
    assert init_cfg.type == 'StrictPretrained'
    work_dir, iterations = re.fullmatch(
        r'work_dirs/([\w/]+)/iter_(\d+)\.pth', init_cfg.checkpoint
    ).groups()
    trained = load(work_dir)
    assert trained.model.type == model
    assert int(iterations) == trained.train_cfg.max_iters
    return trained


def test_fmanet_pp_is_trained_as_published():
    for stage in (1, 2):
        config = load(f'{PP}stage{stage}')
        assert config.train_cfg.max_iters == 280_000
        assert config.param_scheduler.milestones == [196_000, 238_000, 266_000]
        assert config.optim_wrapper.optimizer == dict(type='Adam', lr=2e-4)
        assert config.train_dataloader.batch_size == 8
        sets = datasets(config.train_dataloader)
        assert [d.clip_length for d in sets] == [10, 10]
        assert not any('levels' in d for d in sets)  # all of them
    config = load(f'{PP}ete')
    assert config.train_dataloader.batch_size == 128
    assert config.optim_wrapper.optimizer == dict(type='Adam', lr=0.01)
    assert config.model.losses.contrastive.temperature == 0.5


def test_fmanet_pp_weighs_the_losses_as_published():
    losses = load(f'{PP}stage1').model.losses
    weights = dict(recon=1.0, hr_warp=1e-4, flow=1e-4)
    assert {name: loss.loss_weight for name, loss in losses.items()} == weights
    joint = load(f'{PP}stage2').model.losses
    assert joint.pop('restoration').loss_weight == 1
    assert {name: loss.loss_weight for name, loss in joint.items()} == {
        name: pytest.approx(0.1 * weight) for name, weight in weights.items()
    }


@pytest.mark.parametrize(
    ('name', 'millions'),
    [
        ('stage2', 12.8),
        ('ablations/no_exposure_stage2', 9.8),
        ('ablations/blocks_m1_stage2', 7.7),
        ('ablations/blocks_m2_stage2', 9.4),
        ('ablations/flows_n1_stage2', 11.9),
        ('ablations/flows_n5_stage2', 12.3),
    ],
)
def test_fmanet_pp_has_about_the_published_sizes(name, millions):
    with torch.device('meta'):
        model = MODELS.build(load(f'{PP}{name}').model)
    total = sum(parameter.numel() for parameter in model.parameters())
    assert total / 1e6 == pytest.approx(millions, abs=0.2)


@pytest.mark.parametrize('name', [n for n in PP_NAMES if '/ablations/' in n])
def test_an_ablation_of_fmanet_pp_changes_nothing_else(name):
    config, base = load(name), load(f'{PP}{name[-6:]}')
    changed = {
        key
        for key, value in flatten(config.model.to_dict()).items()
        if (key, value) not in flatten(base.model.to_dict()).items()
        and 'init_cfg' not in key
    }
    assert len(changed) == 1
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'test_evaluator'):
        assert config[key] == base[key]
    for loader in ('val_dataloader', 'test_dataloader'):
        assert config[loader] == base[loader]
