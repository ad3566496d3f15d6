"""The metric in MMagic's test loop, on the frames with known measures."""

import json

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmagic.registry import HOOKS, METRICS, MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner

from fmanet_mm.evaluation import VSRDBMetric
from fmanet_mm.evaluation.hook import count_parameters
from fmanet_mm.utils import config_root

CLIPS = ('000', '011')


class LookUp(BaseModel):
    """Gives as the restored frame what lies in a folder, BGR in [0, 255]."""

    def __init__(self, folder, offset=0.0):
        super().__init__(
            dict(
                type='VSRDBDataPreprocessor',
                mean=[0.0] * 3,
                std=[255.0] * 3,
                output_channel_order='RGB',
                data_keys=['gt_img'],
            )
        )
        self.folder, self.offset = folder, offset
        self.layer = torch.nn.Linear(1000, 1500, bias=False)
        self.anchor_head = torch.nn.Linear(1, 1)

    def forward(self, inputs, data_samples, mode):
        samples = data_samples.split()
        for sample in samples:
            bgr = cv2.imread(f'{self.folder}/{sample.key}.png')
            image = torch.from_numpy(bgr).permute(2, 0, 1) + self.offset
            sample.output = DataSample(pred_img=image)
        return samples


@pytest.fixture
def data_root(tmp_path, golden, junk, write_frames):
    """Two clips: the known frames, and junk before and after them."""
    outputs, targets, _ = golden
    for clip in CLIPS:
        write_frames(tmp_path / 'train_sharp' / clip, [junk, *targets, junk])
        write_frames(tmp_path / 'results' / clip, [junk + 255, *outputs, junk + 255])
        small = [cv2.resize(image, None, fx=0.25, fy=0.25) for image in targets]
        small = [small[0], *small, small[0]]
        write_frames(tmp_path / 'train_blur_bicubic/X4' / clip, small)
    return tmp_path


class LookUpClip(LookUp):
    """Gives all frames of a clip."""

    def forward(self, inputs, data_samples, mode):
        samples = data_samples.split()
        for sample in samples:
            clip = sample.key.rpartition('/')[0]
            frames = [
                cv2.imread(f'{self.folder}/{clip}/{path[-12:]}')
                for path in sample.img_path
            ]
            images = torch.from_numpy(np.stack(frames)).movedim(-1, 1) + self.offset
            sample.output = DataSample(pred_img=images)
        return samples


def config(root, border='exclude', sampler='ContiguousSampler', batch_size=1, **metric):
    meta_keys = ['key', 'img_path', 'img_channel_order', 'gt_channel_order']
    pipeline = [
        dict(type='LoadFrames', key='img'),
        dict(type='LoadFrames', key='gt'),
        dict(type='PackInputs', meta_keys=meta_keys),
    ]
    sampler = dict(type=sampler)
    if sampler['type'] == 'DefaultSampler':
        sampler['shuffle'] = False
    return dict(
        test_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=sampler,
            dataset=dict(
                type='REDSVSRDBDataset',
                data_root=str(root),
                data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
                num_output_frames=1,
                border=border,
                test_mode=True,
                pipeline=pipeline,
            ),
        ),
        test_evaluator=dict(
            type='Evaluator', metrics=[dict(type='VSRDBMetric', **metric)]
        ),
        test_cfg=dict(type='MultiTestLoop'),
    )


def make_runner(root, model=None, hooks=(), **options):
    work_dir = root / f'work_{get_rank()}'
    name = root / 'fmanet_stage2.py'
    name.touch()
    return Runner(
        model=model or LookUp(root / 'results'),
        work_dir=str(work_dir),
        default_scope='mmagic',
        experiment_name=f'{root.name}_{get_rank()}',
        custom_hooks=[*hooks],
        log_level='WARNING',
        cfg=Config({}, filename=name),
        **config(root, **options),
    )


class Keep(Hook):
    def after_test_epoch(self, runner, metrics=None):
        self.metrics = metrics


def run(runner):
    """Test, and return the metrics."""
    keep = Keep()
    runner.register_hook(keep)
    runner.test()
    return keep.metrics


def report_of(runner):
    (metric,) = runner.test_loop.evaluators[0].metrics
    return metric.report


def assert_golden(values, golden):
    mean = golden[2]['mean']
    assert values['PSNR'] == pytest.approx(mean['rgb_psnr_border4'], abs=1e-10)
    assert values['SSIM'] == pytest.approx(mean['ssim_border4'], abs=1e-10)
    assert values['tOF'] == pytest.approx(mean['tOF'], abs=1e-6)


@pytest.mark.parametrize('border', ['exclude', 'replicate'])
@pytest.mark.parametrize('batch_size', [1, 3])
def test_published_protocol_is_exact(data_root, golden, border, batch_size):
    """The junk at the ends of the clips does not count."""
    runner = make_runner(data_root, border=border, batch_size=batch_size)
    metrics = run(runner)
    assert metrics.keys() == {'PSNR', 'SSIM', 'tOF'}
    assert_golden(metrics, golden)
    report = report_of(runner)
    for clip in CLIPS:
        assert_golden(report.by_clip()[clip], golden)
    assert [*report.frames['011']] == [f'{number:08d}' for number in (1, 2, 3, 4)]
    for number, expected in enumerate(golden[2]['frames'], start=1):
        values = report.frames['000'][f'{number:08d}']
        assert values['PSNR'] == pytest.approx(expected['rgb_psnr_border4'], abs=1e-10)
        assert values.get('tOF', 0) == pytest.approx(expected.get('tOF', 0), abs=1e-6)
    overall = report.overall()
    assert (overall['frames'], overall['pairs']) == (8, 6)
    assert sum(mean['frames'] for mean in report.by_motion().values()) == 8
    assert report.motion == 'DISFlowEstimator'


@pytest.mark.parametrize('offset', [0.4, -0.4])
def test_predictions_are_rounded_to_uint8(data_root, golden, offset):
    runner = make_runner(data_root, LookUp(data_root / 'results', offset))
    assert_golden(run(runner), golden)


def test_full_protocol_takes_all_frames_and_pixels(data_root, golden, junk):
    runner = make_runner(data_root, border='replicate', protocol='full', motion=None)
    metrics = run(runner)
    assert metrics.keys() == {'PSNR', 'SSIM', 'PSNR-Y', 'SSIM-Y', 'tOF'}
    # Black against white is 0 dB.
    expected = 4 * golden[2]['mean']['rgb_psnr_border0'] / 6
    assert metrics['PSNR'] == pytest.approx(expected, abs=1e-10)
    y = [values['PSNR-Y'] for values in report_of(runner).frames['000'].values()]
    assert y[0] == pytest.approx(20 * np.log10(255 / 219))
    assert report_of(runner).overall()['pairs'] == 10


def test_full_protocol_needs_windows_for_all_frames(data_root):
    with pytest.raises(ValueError, match="6 of the 6 frames .* 2 .*border='replicate'"):
        make_runner(data_root, protocol='full').test()


def test_no_dice_for_frames_that_were_not_tested(data_root):
    runner = make_runner(data_root, motion=None)
    evaluator = runner.test_loop.evaluators[0]
    process, seen = evaluator.process, []

    def skip_one(outputs, batch, metrics):
        seen.append(outputs[0].key)
        if outputs[0].key != '011/00000003':
            process(outputs, batch, metrics)

    evaluator.process = skip_one
    with pytest.raises(ValueError, match='1 of the 4 .*011.* the first is 00000003'):
        runner.test()
    assert len(seen) == 8


def test_wrong_predictions_are_named(data_root):
    runner = make_runner(data_root, LookUp(data_root / 'results', float('nan')))
    with pytest.raises(ValueError, match='000/00000001 .*pred_img .* NaN'):
        runner.test()
    path = str(data_root / 'results/011/00000002.png')
    cv2.imwrite(path, np.zeros((160, 236, 3), np.uint8))
    with pytest.raises(ValueError, match=r'011/00000002 .*\(160, 236\).*\(160, 240\)'):
        make_runner(data_root).test()


def test_windows_of_targets_are_refused(data_root):
    runner = make_runner(data_root)
    dataset = runner.test_loop.dataloaders[0].dataset
    dataset.num_output_frames = None
    dataset._fully_initialized = False
    dataset.full_init()
    with pytest.raises(ValueError, match='gt_img .*num_output_frames=1'):
        runner.test()


def test_clips_of_one_name_are_kept_apart(data_root):
    options = config(data_root)
    dataset = options['test_dataloader']['dataset']
    options['test_dataloader']['dataset'] = dict(
        type='ConcatDataset', datasets=[dataset, dataset]
    )
    runner = Runner(
        model=LookUp(''),
        work_dir=str(data_root / 'work'),
        default_scope='mmagic',
        experiment_name=data_root.name,
        **options,
    )
    with pytest.raises(ValueError, match='two samples with the key 000/00000001'):
        runner.test()


def test_tof_alone(data_root, golden):
    metric = VSRDBMetric(measures=['tOF'], motion=None, prefix='REDS4')
    runner = make_runner(data_root)
    runner.test_loop.evaluators[0].metrics = [metric]
    metrics = run(runner)
    assert metrics == {'REDS4/tOF': pytest.approx(golden[2]['mean']['tOF'], abs=1e-6)}


def test_unknown_protocol():
    with pytest.raises(ValueError, match="published.*full.*got 'paper'"):
        VSRDBMetric(protocol='paper')


def test_hook_prints_the_row_and_writes_the_reports(data_root, capsys, golden):
    hook = HOOKS.build(dict(type='EvaluationReportHook'))
    runner = make_runner(data_root, hooks=[hook])
    runner.test()
    told = capsys.readouterr().out
    assert '| method | parameters (M) | PSNR | SSIM | tOF |' in told
    assert '| fmanet_stage2 | 1.50 | 34.07 | 0.9624 | 0.806 |' in told
    assert 'protocol published: uint8' in told
    (path,) = (data_root / 'work_0').rglob('fmanet_stage2.json')
    assert str(path) in told
    read = json.loads(path.read_text())
    assert_golden(read['overall'], golden)
    assert read['parameters'] == 1_500_000
    assert '| 011 | 4 | 34.07 |' in path.with_suffix('.md').read_text()


def test_hook_leaves_other_metrics_alone(data_root, capsys):
    hook = HOOKS.build(dict(type='EvaluationReportHook'))
    runner = make_runner(data_root, hooks=[hook])
    runner.test_loop.evaluators[0].metrics = [METRICS.build(dict(type='PSNR'))]
    runner.test()
    assert '| method |' not in capsys.readouterr().out


def test_parameters_are_those_of_the_paper():
    """9.62 M, without the heads of the temporal-anchor loss."""
    config = Config.fromfile(config_root() / 'fmanet_stage2.py')
    config.model.net_d.init_cfg = None
    assert round(count_parameters(MODELS.build(config.model)) / 1e6, 3) == 9.616


def run_process(rank, root, sampler, address):
    torch.set_num_threads(1)
    torch.distributed.init_process_group('gloo', address, rank=rank, world_size=3)
    runner = make_runner(root, sampler=sampler)
    (root / f'{rank}.json').write_text(json.dumps(run(runner)))
    if rank == 0:
        report_of(runner).save(root, 'report')


@pytest.mark.parametrize('sampler', ['ContiguousSampler', 'DefaultSampler'])
def test_three_processes(data_root, golden, sampler, monkeypatch):
    """8 frames for 3: the stretches cross clips, and one frame comes twice."""
    monkeypatch.chdir(data_root)
    address = f'file://{data_root}/rendezvous'
    arguments = data_root, sampler, address
    mp.start_processes(run_process, arguments, nprocs=3, start_method='fork')
    for rank in range(3):
        assert_golden(json.loads((data_root / f'{rank}.json').read_text()), golden)
    overall = json.loads((data_root / 'report.json').read_text())['overall']
    assert (overall['frames'], overall['pairs']) == (8, 6)


def clip_runner(root, model=LookUpClip, clip_length=None, clip_stride=1, **metric):
    """A runner that tests clips."""
    runner = make_runner(root, model(root / 'results'), **metric)
    loader = config(root)['test_dataloader']
    loader['dataset'].update(
        type='REDSClipDataset', clip_length=clip_length, clip_stride=clip_stride
    )
    for key in ('border', 'num_output_frames'):
        del loader['dataset'][key]
    loader['dataset']['pipeline'][-1] = dict(type='PackClip')
    runner.test_loop.dataloaders[0] = runner.build_dataloader(loader)
    return runner


@pytest.mark.parametrize(('length', 'stride'), [(None, 1), (1, 1)])
def test_every_frame_of_a_clip_is_measured(data_root, golden, length, stride):
    """As if each were the centre of a window."""
    runner = clip_runner(data_root, clip_length=length, clip_stride=stride)
    assert_golden(run(runner), golden)
    report = report_of(runner)
    assert [*report.frames['000']] == [f'{number:08d}' for number in (1, 2, 3, 4)]
    assert (report.overall()['frames'], report.overall()['pairs']) == (8, 6)


def test_motion_of_other_frames_sorts(data_root):
    """Here that of the blurry frames' targets themselves."""
    runner = clip_runner(data_root, motion_key='gt_img')
    run(runner)
    assert sum(mean['frames'] for mean in report_of(runner).by_motion().values()) == 8


def test_frames_of_a_clip_must_be_complete_and_single(data_root):
    class Shorter(LookUpClip):
        def forward(self, inputs, data_samples, mode):
            samples = super().forward(inputs, data_samples, mode)
            for sample in samples:
                sample.output.pred_img = sample.output.pred_img[1:]
            return samples

    with pytest.raises(ValueError, match=r'pred_img must be the 6 frames .*got \(5, 3'):
        run(clip_runner(data_root, Shorter))
    with pytest.raises(ValueError, match='samples of a clip must not overlap'):
        run(clip_runner(data_root, clip_length=2))
