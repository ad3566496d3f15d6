"""The configs of the sets, from files to losses and metrics."""

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmagic.registry import DATASETS, METRICS, MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner

from fmanet_mm.flow import load_flow
from fmanet_mm.utils import config_root

# Smaller than in the configs, to be quick.
SIZE = (18, 22)
PATCH = 16
NET_D = dict(
    type='NetD',
    channels=18,
    kernel_size=8,
    num_frames=3,
    scale=4,
    num_flows=3,
    num_blocks=1,
    num_attention_blocks=1,
    num_heads=2,
)
PREPROCESSOR = dict(
    type='VSRDBDataPreprocessor',
    mean=[0.0] * 3,
    std=[255.0] * 3,
    output_channel_order='RGB',
    data_keys=['gt_img', 'img_sharp'],
)


@pytest.fixture(scope='module')
def reds(tmp_path_factory, make_vsrdb_set):
    """One clip to train on, REDS4, one clip of the validation set; small frames."""
    vsrdb_set = make_vsrdb_set(tmp_path_factory.mktemp('reds'), SIZE)
    vsrdb_set.add_clip('001', length=4, reach=1)
    for clip in ('000', '011', '015', '020'):
        vsrdb_set.add_clip(clip, length=3, reach=1)
    vsrdb_set.add_clip('000', length=3, split='val', reach=1)
    (vsrdb_set.root / 'train.txt').write_text('001 4\n')
    (vsrdb_set.root / 'val.txt').write_text('000 3\n')
    return vsrdb_set.root


def load_config(name, root):
    """A config whose data lies below ``root``, with small patches and no workers."""
    config = Config.fromfile(config_root() / f'{name}.py')
    for split in ('train', 'val', 'test'):
        loader = config[f'{split}_dataloader']
        if loader is None:
            continue
        loader.num_workers = 0
        loader.pop('persistent_workers', None)
        for dataset in loader.dataset.get('datasets', [loader.dataset]):
            dataset.data_root = str(root)
            for step in dataset.pipeline:
                if step.type == 'VSRDBRandomCrop':
                    assert (step.patch_size, step.scale) == (64, 4)
                    step.patch_size = PATCH
    return config


def fmanet():
    torch.manual_seed(0)
    return MODELS.build(
        dict(
            type='FMANetStage1',
            net_d=NET_D,
            losses={
                name: dict(type='L1Loss')
                for name in ('recon', 'hr_warp', 'flow', 'ta_d')
            },
            data_preprocessor=PREPROCESSOR,
        )
    )


def preprocess(batch, training):
    return MODELS.build(PREPROCESSOR)(batch, training)


class Recorder(Hook):
    """Keeps what the loops compute."""

    def __init__(self):
        self.samples = []

    def after_val_iter(self, runner, outputs=None, **kwargs):
        self.samples += outputs

    def after_val_epoch(self, runner, metrics=None):
        self.metrics = metrics

    def after_test_epoch(self, runner, metrics=None):
        self.metrics = metrics


def test_training_sample_is_what_the_files_hold(reds, read_rgb):
    """Whole frames, without crop and flip."""
    config = load_config('fmanet_stage1', reds).train_dataloader.dataset.datasets[0]
    config.pipeline = [
        step for step in config.pipeline if not step.type.startswith('VSRDBRandom')
    ]
    dataset = DATASETS.build(config)
    assert [dataset.get_data_info(i)['key'] for i in range(len(dataset))] == [
        '001/00000001',
        '001/00000002',
    ]
    info = dataset.get_data_info(1)
    data = preprocess(pseudo_collate([dataset[0], dataset[1]]), training=True)
    samples = data['data_samples']
    assert samples.key == ['001/00000001', '001/00000002']
    for tensor, kind in (
        (data['inputs'], 'img'),
        (samples.gt_img, 'gt'),
        (samples.img_sharp, 'img_sharp'),
    ):
        expected = np.stack([read_rgb(path) for path in info[f'{kind}_path']])
        assert tensor.dtype == torch.float32
        np.testing.assert_allclose(
            tensor[1].permute(0, 2, 3, 1), expected / 255, atol=1e-6, err_msg=kind
        )
    before, centre, after = samples.flow[1].permute(0, 2, 3, 1)
    assert samples.flow.shape == (2, 3, 2, *SIZE)
    np.testing.assert_array_equal(before, load_flow(info['flow_path'][0]))
    np.testing.assert_array_equal(after, load_flow(info['flow_path'][2]))
    assert not centre.any()


def cut(image, top, left, flips, scale=1):
    rows = slice(scale * top, scale * (top + PATCH))
    columns = slice(scale * left, scale * (left + PATCH))
    vertical, horizontal = (-1 if flip else 1 for flip in flips)
    return image[rows, columns][::vertical, ::horizontal]


def find_patch(sample, image):
    """The crop and the flips that turn the file's image into the sample's."""
    found = [
        (top, left, flips)
        for top, left, flips in product(
            range(SIZE[0] - PATCH + 1),
            range(SIZE[1] - PATCH + 1),
            product((False, True), repeat=2),
        )
        if np.array_equal(cut(image, top, left, flips), sample)
    ]
    assert len(found) == 1
    return found[0]


def test_training_batch_of_two_workers(reds, read_rgb):
    config = load_config('fmanet_stage1', reds).train_dataloader
    config.num_workers = 2
    loader = Runner.build_dataloader(config, seed=0)
    assert len(loader.dataset) == 3
    assert isinstance(loader.dataset.datasets[1].data_prefix['flow'], str)
    batch = next(iter(loader))
    assert len(batch['inputs']) == 8

    patches = set()
    for inputs, sample in zip(batch['inputs'], batch['data_samples'], strict=True):
        assert inputs.dtype == torch.uint8 and inputs.shape == (3, 3, PATCH, PATCH)
        path = Path(sample.img_path[1])
        clip, stem = path.parent.name, path.stem
        split = path.parents[2].name.partition('_')[0]
        assert sample.key == f'{clip}/{stem}'
        patch = find_patch(inputs[1].permute(1, 2, 0), read_rgb(path))
        patches.add((split, *patch))
        for t, offset in enumerate((-1, 0, 1)):
            name = f'{clip}/{int(stem) + offset:08d}.png'
            for kind, frames, scale in (
                (f'{split}_blur_bicubic/X4', inputs, 1),
                (f'{split}_sharp_bicubic/X4', sample.img_sharp, 1),
                (f'{split}_sharp', sample.gt_img, 4),
            ):
                expected = cut(read_rgb(reds / kind / name), *patch, scale)
                np.testing.assert_array_equal(frames[t].permute(1, 2, 0), expected)
            flow = np.zeros((*SIZE, 2))
            if offset:
                target = f'{stem}_{int(stem) + offset:08d}.npy'
                flow = load_flow(reds / f'{split}_flow/X4' / clip / target)
            vertical, horizontal = patch[2]
            signs = np.array([-1 if horizontal else 1, -1 if vertical else 1])
            np.testing.assert_array_equal(
                sample.flow[t].permute(1, 2, 0), cut(flow, *patch) * signs
            )
    assert len(patches) >= 6
    assert {patch[0] for patch in patches} == {'train', 'val'}

    data = preprocess({key: values[:1] for key, values in batch.items()}, training=True)
    losses = fmanet()(**data, mode='loss')
    assert all(torch.isfinite(loss) and loss > 0 for loss in losses.values())
    assert len(losses) == 4


def test_stage_1_validates_on_blurry_frames(reds, tmp_path):
    config = load_config('fmanet_stage1', reds)
    recorder = Recorder()
    run_loop(config, fmanet(), recorder, tmp_path)

    assert [sample.key for sample in recorder.samples] == [
        f'{clip}/00000001' for clip in ('000', '011', '015', '020')
    ]
    errors = []
    for sample in recorder.samples:
        blurry = sample.blurry_img.permute(1, 2, 0).numpy()
        np.testing.assert_allclose(blurry, cv2.imread(sample.img_path[1]), atol=1e-4)
        prediction = sample.output.pred_img.permute(1, 2, 0).numpy()
        errors.append(np.mean((prediction - blurry) ** 2))
    psnr = np.mean(20 * np.log10(255 / np.sqrt(errors)))
    metrics = recorder.metrics
    assert metrics.keys() == {'Reconstruction/PSNR', 'Reconstruction/SSIM'}
    assert metrics['Reconstruction/PSNR'] == pytest.approx(psnr, abs=1e-4)


def run_loop(config, model, recorder, work_dir, mode='val'):
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        default_scope='mmagic',
        experiment_name=work_dir.name,
        custom_hooks=[recorder],
        log_level='WARNING',
        **{
            f'{mode}_dataloader': config[f'{mode}_dataloader'],
            f'{mode}_evaluator': config[f'{mode}_evaluator'],
            f'{mode}_cfg': dict(
                type='MultiValLoop' if mode == 'val' else 'MultiTestLoop'
            ),
        },
    )
    getattr(runner, mode)()


def test_stage_2_measures_the_centre_frame(reds):
    config = load_config('fmanet_stage2', reds)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    data = preprocess(pseudo_collate([dataset[3]]), training=False)
    sample = data['data_samples']
    path = f'{reds}/train_sharp/020/00000001.png'
    bgr = torch.from_numpy(cv2.imread(path)).permute(2, 0, 1)
    assert data['inputs'].shape == (1, 3, 3, *SIZE)
    assert torch.equal(sample.gt_img, bgr[None])

    border = torch.ones(1, 3, 4 * SIZE[0], 4 * SIZE[1])
    border[..., 4:-4, 4:-4] = 0
    sharp = sample.gt_img.float()
    assert psnr_of(config, sample, sharp) == float('inf')
    assert psnr_of(config, sample, sharp + 100 * border) == float('inf')
    assert psnr_of(config, sample, sharp + 2) == pytest.approx(42.1102, abs=1e-4)
    # What the network gives as RGB in [0, 1] is measured in the order of the target.
    rgb = bgr[None].flip(1) / 255
    restored = MODELS.build(PREPROCESSOR).destruct(rgb, sample)
    assert psnr_of(config, sample, restored) > 120


def psnr_of(config, sample, prediction):
    metric = METRICS.build(config.val_evaluator.metrics[0])
    (one,) = sample.split()
    one.output = DataSample(pred_img=prediction[0])
    metric.process(None, [one.to_dict() | dict(output=one.output.to_dict())])
    return metric.results[0]['PSNR']


def test_mini_set(reds, tmp_path):
    config = load_config('fmanet_stage2_mini', reds)
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    assert [loader.dataset.get_data_info(i)['key'] for i in range(2)] == [
        '001/00000001',
        '001/00000002',
    ]
    assert next(iter(loader))['inputs'][0].shape == (3, 3, PATCH, PATCH)
    (sample,) = DATASETS.build(config.val_dataloader.dataset)
    assert sample['data_samples'].gt_path == f'{reds}/val_sharp/000/00000001.png'


def test_gopro(make_vsrdb_set, tmp_path):
    clip = 'GOPR0384_11_00'
    vsrdb_set = make_vsrdb_set(tmp_path / 'GoPro', (16, 20))
    stems = [f'{number:06d}' for number in range(1, 6)]
    vsrdb_set.add_clip(clip, split='test', stems=stems, gt=f'test/{clip}/sharp')
    (vsrdb_set.root / 'test.txt').write_text(f'{clip} 5\n')

    config = load_config('fmanet_stage2_gopro', vsrdb_set.root)
    recorder = Recorder()
    bicubic = dict(
        type='BaseEditModel',
        generator=dict(type='BicubicUpsampling', scale=4),
        pixel_loss=dict(type='L1Loss'),
        data_preprocessor=PREPROCESSOR,
    )
    run_loop(config, bicubic, recorder, tmp_path / 'work', 'test')
    assert recorder.metrics.keys() == {'GoPro/PSNR', 'GoPro/SSIM', 'GoPro/tOF'}
    assert 5 < recorder.metrics['GoPro/PSNR'] < 15


@pytest.mark.parametrize('kind, size', [('gt', (17, 22)), ('img_sharp', (18, 23))])
def test_kind_of_another_size_stops_training(make_vsrdb_set, tmp_path, kind, size):
    vsrdb_set = make_vsrdb_set(tmp_path, SIZE).add_clip('001', length=3, reach=1)
    folder = tmp_path / vsrdb_set.prefix()[kind] / '001'
    for path in folder.iterdir():
        vsrdb_set.write_frame(path, hr=kind == 'gt', size=size)
    dataset = DATASETS.build(
        load_config('fmanet_stage1', tmp_path).train_dataloader.dataset.datasets[0]
    )
    with pytest.raises(ValueError, match=f"'{kind}' of 001/00000001"):
        dataset[0]


def test_sizes_are_checked_in_evaluation_too(make_vsrdb_set, tmp_path):
    vsrdb_set = make_vsrdb_set(tmp_path, (8, 8))
    for clip in ('000', '011', '015', '020'):
        vsrdb_set.add_clip(clip, length=3)
    for path in (tmp_path / 'train_sharp/011').iterdir():
        vsrdb_set.write_frame(path, hr=True, size=(8, 9))
    dataset = DATASETS.build(
        load_config('fmanet_stage1', tmp_path).val_dataloader.dataset
    )
    dataset[0]
    with pytest.raises(
        ValueError, match=r"'gt' of 011/00000001 .*\(32, 36\).*\(8, 8\)"
    ):
        dataset[1]
