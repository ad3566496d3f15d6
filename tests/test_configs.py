"""Every config of the project: it states what differs, and its parts can be built."""

import ast
import copy
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmagic.registry import (
    EVALUATORS,
    HOOKS,
    MODELS,
    PARAM_SCHEDULERS,
    TRANSFORMS,
    VISUALIZERS,
)
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper

from fmanet_mm.evaluation import ExposureKNNAccuracy, VSRDBMetric
from fmanet_mm.restoration.loading import build_network, build_restorer, load_network

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
FOLDERS = (
    '.',
    'ablations',
    'baselines',
    'demo',
    'fmanet_pp',
    'fmanet_pp/ablations',
)
PP = 'fmanet_pp/'
NAMES = sorted(
    str(path.relative_to(CONFIGS).with_suffix(''))
    for folder in FOLDERS
    for path in (CONFIGS / folder).glob('*.py')
)
BASES = sorted(
    str(path.relative_to(CONFIGS).with_suffix(''))
    for path in (CONFIGS / '_base_').rglob('*.py')
)
MEASURES = (('PSNR', 2), ('SSIM', 4), ('tOF', 3))
SPLITS = ('train', 'val', 'test')
KERNEL_SIZES = ('degradation_kernel_size', 'restoration_kernel_size')
MOST_LINES = 45
DEBLURRING = 'baselines/stfan_deblurring'
"""The config of a network that keeps the size of its frames, on the HR frames."""


@cache
def resolve(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def load(name):
    config = copy.deepcopy(resolve(name))
    if config.model.get('generator', {}).get('spynet_pretrained'):
        config.model.generator.spynet_pretrained = None  # would be downloaded
    return config


@pytest.fixture(params=NAMES)
def config(request):
    return load(request.param)


def nets(name):
    """Settings of NetD and NetR, each complete: the architecture and its own."""
    model = load(name).model
    sizes = dict(model.architecture)
    degradation, restoration = (sizes.pop(key) for key in KERNEL_SIZES)
    settings = dict(
        net_d=dict(kernel_size=degradation, **sizes, **model.get('net_d', {}))
    )
    if model.type == 'FMANet':
        settings['net_r'] = dict(
            kernel_size=restoration,
            degradation_kernel_size=degradation,
            **sizes,
            **model.get('net_r', {}),
        )
    return settings


def own_settings(name):
    """The settings that a config file itself makes, and those of its bases."""
    path = CONFIGS / f'{name}.py'
    tree = ast.parse(path.read_text())
    bases = []
    for statement in list(tree.body):
        if getattr(statement, 'targets', None) and statement.targets[0].id == '_base_':
            bases = ast.literal_eval(statement.value)
            tree.body.remove(statement)
    inherited = ConfigDict()
    for base in [bases] if isinstance(bases, str) else bases:
        base = (path.parent / base).resolve().relative_to(CONFIGS).with_suffix('')
        inherited.update(resolve(str(base)).to_dict())
    names = {'_base_': inherited}
    exec(compile(tree, path, 'exec'), names)
    own = {key: value for key, value in names.items() if not key.startswith('_')}
    return own, inherited


def repeated(own, inherited, prefix=''):
    """Names of settings that are already what they are set to."""
    for key, value in own.items():
        if not isinstance(inherited, dict) or key not in inherited:
            continue
        if isinstance(value, dict):
            if '_delete_' not in value:
                yield from repeated(value, inherited[key], f'{prefix}{key}.')
        elif value == inherited[key]:
            yield f'{prefix}{key}'


def datasets(loader):
    """The datasets of a dataloader's config, those joined by ConcatDataset too."""
    dataset = loader.dataset
    return dataset.datasets if dataset.type == 'ConcatDataset' else [dataset]


def loaders(config):
    """Every dataloader's config; those of MultiValLoop are lists."""
    for split in SPLITS:
        found = config.get(f'{split}_dataloader') or []
        yield from found if isinstance(found, list) else [found]


@pytest.mark.parametrize('name', [*NAMES, *BASES])
def test_no_config_repeats_an_inherited_setting(name):
    assert not [*repeated(*own_settings(name))]


def test_a_repetition_is_seen():
    """At any depth, but not what replaces a base."""
    base = dict(a=1, b=dict(c=[2], d=3))
    assert [*repeated(dict(a=1, b=dict(c=[2], d=4)), base)] == ['a', 'b.c']
    assert not [*repeated(dict(b=dict(_delete_=True, d=3)), base)]


@pytest.mark.parametrize('name', NAMES)
def test_a_config_is_short(name):
    assert len((CONFIGS / f'{name}.py').read_text().splitlines()) <= MOST_LINES


def test_the_network_builds_for_restoring(config):
    """Any but those of stage 1 and before, which restore nothing."""
    if config.model.type in ('FMANetStage1', 'FMANetPPStage1', 'FMANetPPExposure'):
        return
    with torch.device('meta'):
        network = build_network(config)
    restorer = build_restorer(network.eval())
    deblurs_only = (
        '_x1_' in Path(config.filename).stem
        or config.model.get('generator', {}).get('type') == 'STFAN'
    )
    assert restorer.scale == (1 if deblurs_only else 4)
    if config.model.type == 'FMANetPP':
        levels = 2 * config.model.architecture.num_blocks
        assert restorer.context in (levels, None)
    elif restorer.context is not None:
        (dataset,) = datasets(config.test_dataloader)
        assert restorer.context == dataset.get('num_input_frames', 3) // 2


LIGHT = (
    'fmanet_s_stage2',
    'ablations/component_dcn_stage2',
    'ablations/component_self_attention_sft_stage2',
    'demo/tiny_conventional_stage2',
    'baselines/bicubic',
    'baselines/edvr_predeblur',
    'baselines/hoffr',
    'baselines/restormer',
    'baselines/rvrt',
    'baselines/stfan_bicubic',
    'baselines/stfan_lr',
)


def test_networks_of_this_package_are_built_without_openmmlab():
    code = (
        'import sys, torch\n'
        'from mmengine.config import Config\n'
        'from fmanet_mm.restoration.loading import build_network\n'
        'for path in sys.argv[1:]:\n'
        '    config = Config.fromfile(path, import_custom_modules=False)\n'
        "    with torch.device('meta'):\n"
        '        build_network(config)\n'
        "assert not {'mmagic', 'mmcv', 'mmflow'} & {*sys.modules}\n"
    )
    paths = [CONFIGS / f'{name}.py' for name in LIGHT]
    subprocess.run([sys.executable, '-c', code, *paths], check=True)


def test_model_and_optimizer_build(config):
    with torch.device('meta'):
        model = MODELS.build(config.model)
    if config.get('optim_wrapper'):
        wrapper = build_optim_wrapper(model, config.optim_wrapper)
        schedulers = config.param_scheduler
        for one in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler = PARAM_SCHEDULERS.build(
                one, default_args=dict(optimizer=wrapper)
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
    evaluator = config.get('val_evaluator')
    if evaluator:
        first = evaluator[0] if isinstance(evaluator, list) else evaluator
        metrics = EVALUATORS.build(first).metrics
        names = [
            f'{metric.prefix}/{name}' if metric.prefix else name
            for metric in metrics
            for name in measures_of(metric)
        ]
        assert config.default_hooks.checkpoint.save_best in names


def measures_of(metric):
    """Names of what a metric measures."""
    if isinstance(metric, ExposureKNNAccuracy):
        return ['accuracy']
    if isinstance(metric, VSRDBMetric):
        return metric.measures
    return [metric.metric]


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
    assert parameters('baselines/restormer') == 26_497_527  # published as 26.5 M
    assert parameters('baselines/rvrt') == 12_909_223  # published as 12.9 M
    assert parameters('baselines/edvr_predeblur') == 23_306_851
    # Published as 7.4 M, of which the anchor heads are no part.
    model = MODELS.build(load('fmanet_s_stage2').model)
    anchors = [*model.net_d.anchor_head.parameters()] * 2
    without = parameters('fmanet_s_stage2') - sum(p.numel() for p in anchors)
    assert round(without / 1e6, 1) == 7.4


@pytest.mark.parametrize(
    'entry',
    yaml.safe_load((CONFIGS / 'metafile.yml').read_text())['Models'],
    ids=lambda entry: entry['Name'],
)
def test_the_metafile_says_what_the_configs_describe(entry):
    path = CONFIGS.parent / entry['Config']
    name = str(path.relative_to(CONFIGS).with_suffix(''))
    assert entry['Name'] in (Path(name).name, name.replace('/', '_'))
    assert parameters(name) == entry['Metadata']['Parameters']
    if 'Weights' in entry:
        load_network(CONFIGS.parent / entry['Weights'], path)
        (result,) = entry['Results']
        row = ' | '.join(f'{result["Metrics"][m]:.{digits}f}' for m, digits in MEASURES)
        assert row in (CONFIGS.parent / 'docs/results.md').read_text()


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
    'stage_2', [name for name in NAMES if '_stage2' in name and PP not in name]
)
def test_stage_2_starts_from_the_last_checkpoint_of_a_stage_1(stage_2):
    """Of its own, or of one that is the same for several."""
    config = load(stage_2)
    init_cfg = config.model.net_d.init_cfg
    if stage_2 == 'fmanet_stage2_gopro':  # only tested
        assert init_cfg is None
        return
    assert init_cfg.type == 'StrictPretrained'
    if config.load_from:  # all of it; tools/train.py --stage1 names a stage 1
        return
    assert init_cfg.prefix == 'net_d.'
    work_dir, iterations = re.fullmatch(
        r'work_dirs/(\w+)/iter_(\d+)\.pth', init_cfg.checkpoint
    ).groups()
    (stage_1,) = (n for n in NAMES if Path(n).name == work_dir and PP not in n)
    own = stage_2.replace('_stage2', '_stage1')
    assert stage_1 == own or own not in NAMES
    trained = load(stage_1)
    assert int(iterations) == trained.train_cfg.max_iters
    settings = nets(stage_2)['net_d']
    del settings['init_cfg']
    assert settings == nets(stage_1)['net_d']
    assert trained.model.type == 'FMANetStage1'


def test_work_folders_are_told_apart():
    """By the name of the config, unless it says more."""
    folders = [load(name).get('work_dir') or Path(name).name for name in NAMES]
    assert len(folders) == len({*folders})


def changes(name, base):
    """What a config says of the model that another does not."""
    config, other = (
        flatten(nets(n) | dict(losses=load(n).model.losses)) for n in (name, base)
    )
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
SELF_ATTENTION = {f'net_{net}.centre_attention.type': 'SelfAttention' for net in 'dr'}
SFT = {'net_r.degradation_attention.type': 'GuidedModulation'}


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
    num_frames = config.model.architecture.num_frames
    for loader in loaders(config):
        assert {d.num_input_frames for d in datasets(loader)} == {num_frames}


def test_in_one_stage_nothing_was_trained_before():
    assert load('ablations/component_one_stage').model.net_d.init_cfg is None


@pytest.mark.parametrize('folder', ['ablations', 'baselines', 'fmanet_pp/ablations'])
def test_every_config_stands_in_the_table_of_its_folder(folder):
    table = (CONFIGS / folder / 'README.md').read_text()
    mentioned = {*re.findall(r'`(\w+)(?:\.py)?`', table)}
    mentioned |= {f'{name}_stage{stage}' for name in mentioned for stage in (1, 2)}
    names = {path.stem for path in (CONFIGS / folder).glob('*.py')}
    assert names <= mentioned


BASELINES = [name for name in NAMES if name.startswith('baselines/')]


@pytest.mark.parametrize('name', BASELINES)
def test_baselines_are_trained_and_tested_as_fmanet_is(name):
    synthetic = '_synthetic' if name.endswith('_synthetic') else ''
    config, base = load(name), load(f'fmanet_stage2{synthetic}')
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
            for key in ('type', 'subset', 'size', 'motion', 'length', 'seed'):
                assert ours.get(key) == theirs.get(key)
            if not synthetic:
                prefix = dict(img=theirs.data_prefix.img, gt=theirs.data_prefix.gt)
                if name == DEBLURRING:
                    prefix['img'] = prefix['img'].removesuffix('_bicubic/X4')
                assert ours.data_prefix == prefix


@pytest.mark.parametrize('name', [n for n in BASELINES if n.endswith('_synthetic')])
def test_only_the_data_of_a_synthetic_baseline_differ(name):
    config, base = load(name), load(name.removesuffix('_synthetic'))
    assert config.model == base.model
    assert config.restorer == base.restorer
    for split in SPLITS:
        (ours,), theirs = (datasets(c[f'{split}_dataloader']) for c in (config, base))
        for key in ('num_input_frames', 'num_output_frames'):
            assert {ours.get(key)} == {other.get(key) for other in theirs}
