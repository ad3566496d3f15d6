"""Every config of the project: what it describes can be built."""

import re
from pathlib import Path

import pytest
import torch
from mmagic.registry import (
    EVALUATORS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISUALIZERS,
)
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
FOLDERS = ('.', 'ablations', 'baselines', 'demo')
NAMES = sorted(
    str(path.relative_to(CONFIGS).with_suffix(''))
    for folder in FOLDERS
    for path in (CONFIGS / folder).glob('*.py')
)
SPLITS = ('train', 'val', 'test')


def load(name):
    config = Config.fromfile(CONFIGS / f'{name}.py')
    if config.model.get('generator', {}).get('spynet_pretrained'):
        config.model.generator.spynet_pretrained = None  # would be downloaded
    return config


@pytest.fixture(params=NAMES)
def config(request):
    return load(request.param)


def datasets(loader):
    """The datasets of a dataloader's config, those joined by ConcatDataset too."""
    dataset = loader.dataset
    return dataset.datasets if dataset.type == 'ConcatDataset' else [dataset]


def loaders(config):
    """Every dataloader's config; those of MultiValLoop are lists."""
    for split in SPLITS:
        found = config.get(f'{split}_dataloader') or []
        yield from found if isinstance(found, list) else [found]


def test_model_and_optimizer_build(config):
    with torch.device('meta'):
        model = MODELS.build(config.model)
    if config.get('optim_wrapper'):
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        scheduler = PARAM_SCHEDULERS.build(
            config.param_scheduler, default_args=dict(optimizer=wrapper)
        )
        assert scheduler.last_step == 0


def test_pipelines_build(config):
    for loader in loaders(config):
        for dataset in datasets(loader):
            pipeline = Compose([TRANSFORMS.build(step) for step in dataset.pipeline])
            assert len(pipeline.transforms) == len(dataset.pipeline)


def test_hooks_metrics_and_visualizer_build(config, tmp_path):
    hooks = {name: HOOKS.build(hook) for name, hook in config.default_hooks.items()}
    assert not hooks['logger'].log_metric_by_epoch  # there are no epochs
    for split in SPLITS:
        evaluator = config.get(f'{split}_evaluator') or []
        for one in evaluator if isinstance(evaluator, list) else [evaluator]:
            EVALUATORS.build(one)
    VISUALIZERS.build(
        config.visualizer, default_args=dict(name=str(tmp_path), save_dir=str(tmp_path))
    )


def test_the_best_checkpoint_is_by_a_metric_of_validation(config):
    if config.get('val_evaluator'):
        metrics = EVALUATORS.build(config.val_evaluator).metrics
        names = [f'{m.prefix}/{m.metric}' if m.prefix else m.metric for m in metrics]
        assert config.default_hooks.checkpoint.save_best in names


@pytest.mark.parametrize('name', ['stage2', 's_stage2', 'stage2_mini', 'stage2_400e'])
def test_testing_is_as_published(name):
    (metric,) = EVALUATORS.build(load(f'fmanet_{name}').test_evaluator).metrics
    protocol = metric.protocol
    assert (protocol.name, protocol.border, protocol.skipped) == ('published', 4, 1)
    assert protocol.measures == ('PSNR', 'SSIM', 'tOF')


def parameters(name):
    return sum(p.numel() for p in MODELS.build(load(name).model).parameters())


def test_published_sizes():
    assert parameters('fmanet_stage1') == 3_225_837
    assert parameters('fmanet_stage2') == 9_766_503
    # Published as 7.4 M, of which the anchor heads are no part.
    model = MODELS.build(load('fmanet_s_stage2').model)
    anchors = [*model.net_d.anchor_head.parameters()] * 2
    without = parameters('fmanet_s_stage2') - sum(p.numel() for p in anchors)
    assert round(without / 1e6, 1) == 7.4


def test_published_training():
    for stage in (1, 2):
        config = load(f'fmanet_stage{stage}')
        assert config.train_cfg.max_iters == 300_000
        assert config.param_scheduler.milestones == [210_000, 255_000, 285_000]
        assert config.optim_wrapper.optimizer == dict(type='Adam', lr=2e-4)
        assert config.train_dataloader.batch_size == 8
        released = load(f'fmanet_stage{stage}_400e')
        assert released.train_cfg.max_iters == 1_303_200
        assert released.param_scheduler.milestones[0] == 847_080


def test_stage_2_weighs_the_losses_as_published():
    stage_1, stage_2 = (load(f'fmanet_stage{stage}').model.losses for stage in (1, 2))
    assert {name: loss.loss_weight for name, loss in stage_2.items()} == {
        **{
            name: pytest.approx(0.1 * loss.loss_weight)
            for name, loss in stage_1.items()
        },
        'restoration': 1.0,
        'lr_warp': 0.1,
        'ta_r': 0.1,
    }


@pytest.mark.parametrize('stage_2', [name for name in NAMES if '_stage2' in name])
def test_stage_2_starts_from_the_last_checkpoint_of_a_stage_1(stage_2):
    """Of its own, or of one that is the same for several."""
    config = load(stage_2)
    init_cfg = config.model.net_d.init_cfg
    if stage_2 == 'fmanet_stage2_gopro':  # only tested
        assert init_cfg is None
        return
    assert init_cfg.type == 'StrictPretrained'
    assert init_cfg.prefix == 'net_d.'
    work_dir, iterations = re.fullmatch(
        r'work_dirs/(\w+)/iter_(\d+)\.pth', init_cfg.checkpoint
    ).groups()
    (stage_1,) = (name for name in NAMES if Path(name).name == work_dir)
    own = stage_2.replace('_stage2', '_stage1')
    assert stage_1 == own or own not in NAMES
    trained = load(stage_1)
    assert int(iterations) == trained.train_cfg.max_iters
    settings = dict(config.model.net_d)
    del settings['init_cfg']
    assert settings == trained.model.net_d


def test_work_folders_are_told_apart_by_their_names():
    names = [Path(name).name for name in NAMES]
    assert len(names) == len({*names})


def changes(name, base):
    """What a config says of the model that another does not."""
    config, other = (flatten(load(n).model) for n in (name, base))
    return {
        key: value
        for key, value in config.items()
        if (key, value) not in other.items() and 'init_cfg' not in key
    }


def flatten(config, prefix=''):
    flat = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f'{prefix}{key}.')
        else:
            flat[prefix + key] = value
    return flat


CONVENTIONAL = {
    'net_d.downsampling.type': 'DynamicDownsampling',
    'net_r.upsampling.type': 'DynamicUpsampling',
}
SELF_ATTENTION = {
    f'net_{net}.centre_attention.type': 'SelfAttentionHalf' for net in 'dr'
}
SFT = {'net_r.degradation_attention.type': 'ModulationHalf'}


def both_nets(**settings):
    return {f'net_{net}.{k}': value for net in 'dr' for k, value in settings.items()}


def kernels(size):
    return {'net_d.kernel_size': size, 'net_r.degradation_kernel_size': size}


def without(*losses):
    return {f'losses.{loss}': None for loss in losses}


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('filter_conventional_kd10_stage2', CONVENTIONAL | kernels(10)),
        ('filter_conventional_kd20_stage2', CONVENTIONAL),
        ('filter_conventional_kd30_stage2', CONVENTIONAL | kernels(30)),
        ('filter_flow_guided_kd10_stage2', kernels(10)),
        ('filter_flow_guided_kd30_stage2', kernels(30)),
        ('component_n1_stage2', both_nets(num_flows=1)),
        ('component_n5_stage2', both_nets(num_flows=5)),
        (
            'component_dcn_stage2',
            both_nets(**{'alignment.type': 'DeformableAlignment'}),
        ),
        ('component_no_ta_stage2', without('ta_d', 'ta_r')),
        ('component_no_raft_ta_stage2', without('flow', 'ta_d', 'ta_r')),
        ('component_one_stage', {}),
        ('component_self_attention_sft_stage2', SELF_ATTENTION | SFT),
        ('component_self_attention_da_stage2', SELF_ATTENTION),
        ('component_co_sft_stage2', SFT),
        ('blocks_m1_stage2', both_nets(num_blocks=1)),
        ('window_t5_stage2', both_nets(num_frames=5)),
        ('window_t7_stage2', both_nets(num_frames=7, channels=126)),
    ],
)
def test_an_ablation_changes_nothing_else(name, expected):
    name = f'ablations/{name}'
    assert changes(name, 'fmanet_stage2') == expected
    stage_1 = name.replace('_stage2', '_stage1')
    if stage_1 in {*NAMES} - {name}:
        assert changes(stage_1, 'fmanet_stage1') == {
            key: value
            for key, value in expected.items()
            if not key.startswith('net_r') and key != 'losses.ta_r'
        }
    config, base = load(name), load('fmanet_stage2')
    for key in ('train_cfg', 'optim_wrapper', 'param_scheduler', 'test_evaluator'):
        assert config[key] == base[key]
    num_frames = config.model.net_d.num_frames
    for loader in loaders(config):
        assert {d.num_input_frames for d in datasets(loader)} == {num_frames}


def test_in_one_stage_nothing_was_trained_before():
    assert load('ablations/component_one_stage').model.net_d.init_cfg is None


@pytest.mark.parametrize('folder', ['ablations', 'baselines'])
def test_every_config_stands_in_the_table_of_its_folder(folder):
    table = (CONFIGS / folder / 'README.md').read_text()
    mentioned = {*re.findall(r'`(\w+)(?:\.py)?`', table)}
    mentioned |= {f'{name}_stage{stage}' for name in mentioned for stage in (1, 2)}
    names = {path.stem for path in (CONFIGS / folder).glob('*.py')}
    assert names <= mentioned


@pytest.mark.parametrize('name', [n for n in NAMES if n.startswith('baselines/')])
def test_baselines_are_trained_and_tested_as_fmanet_is(name):
    config, base = load(name), load('fmanet_stage2')
    for key in ('val_evaluator', 'test_evaluator', 'test_cfg'):
        assert config[key] == base[key]
    if config.train_cfg:
        for key in ('train_cfg', 'param_scheduler', 'auto_scale_lr'):
            assert config[key] == base[key]
        assert config.optim_wrapper.optimizer == base.optim_wrapper.optimizer
        assert config.train_dataloader.batch_size == base.train_dataloader.batch_size
    for split in SPLITS if config.train_cfg else SPLITS[1:]:
        pair = (datasets(c[f'{split}_dataloader']) for c in (config, base))
        for ours, theirs in zip(*pair, strict=True):
            prefix = theirs.data_prefix
            assert ours.get('subset') == theirs.get('subset')
            assert ours.data_prefix == dict(img=prefix.img, gt=prefix.gt)
