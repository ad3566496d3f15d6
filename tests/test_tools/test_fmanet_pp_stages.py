"""The stages of FMA-Net++, tiny, on a set with five exposures, by the tools."""

import json

import cv2
import numpy as np
import pytest
import torch
from run_tool import run_tool

from fmanet_mm.flow import generate_flow
from fmanet_mm.preparation.reds_me import MultiExposureRecipe
from fmanet_mm.preparation.video_to_vsrdb import convert_videos
from fmanet_mm.utils import config_root
from fmanet_mm.utils.checkpoint import load_state_dict_file

ETE = """
model = dict(exposure=dict(width=4, num_stages=2))
quick = dict(num_workers=0, dataset=dict(serialize_data=False))
val_dataloader = quick
"""
NETS = (
    ETE
    + """
model.update(
    architecture=dict(
        channels=12, num_flows=2, num_blocks=1, num_attention_blocks=1, num_heads=2,
        num_rdbs=1, modulation_channels=4, degradation_kernel_size=8,
    )
)
"""
)
STAGE1 = (
    NETS
    + """
test_dataloader = quick
test_evaluator = dict(metrics=[dict(
    type='VSRDBMetric', protocol='full', gt_key='blurry_img', measures=['PSNR'],
    prefix='Reconstruction', motion_key='gt_img',
)])
"""
)
STAGE2 = (
    NETS
    + """
test_dataloader = [dict(_base_.test_dataloader[0], num_workers=0)]
test_evaluator = [dict(type='Evaluator', metrics=[
    dict(type='VSRDBMetric', protocol='full', measures=['PSNR'], prefix='mini')
])]
"""
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A set of two moving textures, its last frames held out."""
    root = tmp_path_factory.mktemp('pp')
    sources = []
    for seed in (0, 1):
        noise = np.random.default_rng(seed).integers(0, 256, (96, 160, 3), np.uint8)
        texture = cv2.normalize(
            cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX
        )
        folder = root / f'scene{seed}'
        folder.mkdir()
        for index in range(45):
            frame = texture[:64, index : index + 64]
            cv2.imwrite(str(folder / f'{index:08d}.png'), frame)
        sources.append(folder)
    out = root / 'data/mini_me'
    convert_videos(sources, out, MultiExposureRecipe(5, held_out=0.4))
    generate_flow(
        out / 'train_sharp_bicubic/X4',
        out / 'train_flow/X4',
        dict(type='DISFlowEstimator'),
    )
    return root


def write_config(folder, name, text):
    base = config_root() / f'fmanet_pp/{name}.py'
    path = folder / f'{name}.py'
    path.write_text(f"_base_ = '{base}'\n{text}")
    return path


OPTIONS = [
    '--cfg-options',
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.dataset.serialize_data=False',
    'default_hooks.checkpoint.interval=1',
]
CLIPS = [
    *OPTIONS,
    'train_dataloader.dataset.clip_length=4',
    'train_dataloader.dataset.pipeline.3.patch_size=12',
    'train_dataloader.batch_size=2',
]


@pytest.fixture(scope='module')
def trained(data):
    """Checkpoints of the three stages."""
    configs = {
        name: write_config(data, f'{name}_mini', text)
        for name, text in (('ete', ETE), ('stage1', STAGE1), ('stage2', STAGE2))
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data)
        run_tool(
            'train', configs['ete'], *OPTIONS, 'train_dataloader.batch_size=3',
            'train_dataloader.dataset.pipeline.1.patch_size=12',
        )  # fmt: skip
        work = data / 'work_dirs/fmanet_pp'
        run_tool(
            'train', configs['stage1'], '--exposure', work / 'ete_mini/iter_2.pth',
            *CLIPS,
        )  # fmt: skip
        run_tool(
            'train', configs['stage2'], '--stage1', work / 'stage1_mini/iter_2.pth',
            *CLIPS,
        )  # fmt: skip
    return configs, {name: work / f'{name}_mini/iter_2.pth' for name in configs}


def weights(checkpoint, net):
    return {
        name: value
        for name, value in load_state_dict_file(str(checkpoint)).items()
        if name.startswith(net)
    }


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_each_stage_starts_from_the_one_before(trained):
    _, checkpoints = trained
    extractors = [weights(path, 'exposure_net.') for path in checkpoints.values()]
    assert extractors[0]
    assert same(extractors[0], extractors[1]) and same(extractors[1], extractors[2])
    first, second = (weights(checkpoints[f'stage{i}'], 'net_d.') for i in (1, 2))
    assert first.keys() == second.keys() and not same(first, second)
    # Two steps of Adam at 2e-4 move a weight by little more than twice that.
    moved = max((first[name] - second[name]).abs().max() for name in first)
    assert 0 < moved < 1e-3
    assert weights(checkpoints['stage2'], 'net_r.')


def logged(folder, key):
    (path,) = folder.glob('*/vis_data/scalars.json')
    lines = map(json.loads, path.read_text().splitlines())
    return [line[key] for line in lines if key in line]


def test_the_stages_are_validated(trained):
    work = trained[1]['ete'].parents[1]
    (accuracy,) = logged(work / 'ete_mini', 'kNN/accuracy')
    assert 0 <= accuracy <= 100
    (reconstruction,) = logged(work / 'stage1_mini', 'Reconstruction/PSNR')
    (restoration,) = logged(work / 'stage2_mini', 'PSNR')
    assert 5 < reconstruction < 60 and 5 < restoration < 60


@pytest.mark.parametrize('stage', ['stage1', 'stage2'])
def test_the_stages_are_tested_on_every_frame(trained, data, monkeypatch, stage):
    configs, checkpoints = trained
    monkeypatch.chdir(data)
    work_dir = data / f'test_{stage}'
    run_tool(
        'test', configs[stage], checkpoints[stage], '--work-dir', work_dir,
    )  # fmt: skip
    (path,) = work_dir.glob(f'*/{stage}_mini_*.json')
    report = json.loads(path.read_text())
    # Two clips of 3 frames each are held out.
    assert report['overall']['frames'] == 6
    assert 5 < report['overall']['PSNR'] < 60
    assert {clip[:4] for clip in report['frames']} == {'5-5/'}


def test_a_resumed_stage_takes_the_same_steps(trained, data, monkeypatch):
    configs, checkpoints = trained
    monkeypatch.chdir(data)
    first = checkpoints['stage2'].with_name('iter_1.pth')
    work_dir = data / 'resumed'
    run_tool(
        'train', configs['stage2'], '--work-dir', work_dir, '--resume', first, *CLIPS
    )
    assert same(
        weights(work_dir / 'iter_2.pth', ''), weights(checkpoints['stage2'], '')
    )


def test_fine_tuning_takes_the_extractor_along(trained, data, monkeypatch):
    configs, checkpoints = trained
    monkeypatch.chdir(data)
    work_dir = data / 'tuned'
    run_tool(
        'train', configs['stage2'], '--work-dir', work_dir,
        '--from', checkpoints['stage2'], *CLIPS,
    )  # fmt: skip
    before, after = (
        weights(path, 'exposure_net.')
        for path in (checkpoints['stage2'], work_dir / 'iter_2.pth')
    )
    assert same(before, after)


def test_exposures_are_swapped(trained, data, monkeypatch, capsys):
    configs, checkpoints = trained
    monkeypatch.chdir(data)
    run_tool(
        'analysis_tools/swap_exposure', configs['stage2'], checkpoints['stage2'],
        '--clips', 1, '--levels', 2, 4,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert '| frames 5-4 |' in printed and '| PSNR (dB) | given 5-2 | given 5-4 |' in (
        printed
    )
    assert 'it divides the spread by' in printed


def test_wrong_starts_are_named(trained, data, monkeypatch, capsys):
    configs, checkpoints = trained
    monkeypatch.chdir(data)
    ete, stage1 = checkpoints['ete'], checkpoints['stage1']
    with pytest.raises(ValueError, match='ete_mini.py starts from no exposure extract'):
        run_tool('train', configs['ete'], '--exposure', ete)
    with pytest.raises(SystemExit, match='2'):
        run_tool('train', configs['stage2'], '--exposure', ete, '--stage1', stage1)
    assert '--from and --stage1 bring the extractor along' in capsys.readouterr().err
    with pytest.raises(ValueError, match='iter_2.pth does not fit .*net_d'):
        run_tool('train', configs['stage2'], '--stage1', ete, *CLIPS)
    with pytest.raises(ValueError, match='does not fit ExposureExtractor'):
        run_tool(
            'train', configs['stage1'], '--exposure', ete, *CLIPS,
            'model.exposure.width=6',
        )  # fmt: skip
    with pytest.raises(FileNotFoundError, match='ete_mini/iter_20000.pth'):
        run_tool('train', configs['stage1'], *CLIPS)
