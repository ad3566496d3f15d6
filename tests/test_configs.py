"""Every config of the project: what it describes can be built."""

from pathlib import Path

import pytest
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
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
SPLITS = ('train', 'val', 'test')


@pytest.fixture(params=NAMES)
def config(request):
    return Config.fromfile(CONFIGS / f'{request.param}.py')


def load(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


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
    for hook in config.default_hooks.values():
        HOOKS.build(hook)
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


@pytest.mark.parametrize(
    'stage_2',
    [name for name in NAMES if name.replace('_stage2', '_stage1') in {*NAMES} - {name}],
)
def test_stage_2_starts_from_the_last_checkpoint_of_its_stage_1(stage_2):
    stage_1 = stage_2.replace('_stage2', '_stage1')
    checkpoint = load(stage_2).model.net_d.init_cfg.checkpoint
    iterations = load(stage_1).train_cfg.max_iters
    assert checkpoint == f'work_dirs/{stage_1}/iter_{iterations}.pth'
    assert load(stage_2).model.net_d.init_cfg.type == 'StrictPretrained'
