"""The networks we compare with: built, trained and tested as their configs say."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import DATASETS, METRICS, MODELS
from mmengine import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch.utils.data import DataLoader

from fmanet_mm.restoration.loading import build_network, build_restorer

FOLDER = Path(__file__).resolve().parents[3] / 'configs/baselines'
TINY = dict(
    basicvsr_pp=dict(mid_channels=16, num_blocks=1, spynet_pretrained=None),
    edvr=dict(
        mid_channels=8,
        deform_groups=2,
        num_blocks_extraction=1,
        num_blocks_reconstruction=1,
    ),
    edvr_predeblur=dict(
        channels=8,
        deform_groups=2,
        num_extraction_blocks=1,
        num_reconstruction_blocks=1,
    ),
    restormer=dict(
        dim=4, num_blocks=[1, 1, 1, 1], num_refinement_blocks=1, heads=[1, 1, 1, 1]
    ),
    rvrt=dict(channels=12, spynet_pretrained=None),
    tdan=dict(mid_channels=8, num_blocks_before_align=1, num_blocks_after_align=1),
)
RECURRENT = ('basicvsr_pp', 'rvrt')
TESTED_ALONE = ('edvr_predeblur', 'rvrt')
LENGTH = 5


@pytest.fixture(scope='module')
def reds(tmp_path_factory):
    """A miniature of REDS: REDS4, another clip, and one of validation."""
    root = tmp_path_factory.mktemp('REDS')
    rng = np.random.default_rng(0)
    for split, clips in dict(
        train=('000', '001', '011', '015', '020'), val=('000',)
    ).items():
        for clip in clips:
            for kind, size in (('blur_bicubic/X4', 64), ('sharp', 256)):
                folder = root / f'{split}_{kind.replace("/X4", "")}'
                folder = (folder / 'X4' if kind != 'sharp' else folder) / clip
                folder.mkdir(parents=True)
                for frame in range(LENGTH):
                    image = rng.integers(0, 256, (size, size, 3), np.uint8)
                    cv2.imwrite(str(folder / f'{frame:08d}.png'), image)
    return root


@pytest.fixture
def make_config(reds):
    """A baseline's config for the miniature, with a small network."""

    def make(name):
        torch.manual_seed(0)
        config = Config.fromfile(FOLDER / f'{name}.py')
        config.model.generator.update(TINY.get(name, {}))
        datasets = [config.val_dataloader.dataset, config.test_dataloader.dataset]
        if config.train_dataloader:
            datasets += config.train_dataloader.dataset.datasets
        for dataset in datasets:
            dataset.data_root = str(reds)
            if name in RECURRENT:
                dataset.num_input_frames = 3
        return config

    return make


@pytest.mark.parametrize('name', TINY)
def test_a_step_of_training_on_reds(make_config, name):
    config = make_config(name)
    for dataset in config.train_dataloader.dataset.datasets:
        dataset.pipeline[2].patch_size = 64 if name == 'basicvsr_pp' else 16
    dataset = DATASETS.build(config.train_dataloader.dataset)
    reach = dataset[0]['inputs'].size(0) // 2
    assert len(dataset) == 2 * (LENGTH - 2 * reach), 'clips 001 of both folders'
    model = MODELS.build(config.model).train()
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = pseudo_collate([dataset[0]])
    loss = model.train_step(batch, optimizer)['loss']
    with torch.no_grad():
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert model.parse_losses(losses)[0] < loss
    weights = dict(model.named_parameters())
    moved = {name for name in weights if not torch.equal(weights[name], before[name])}
    # Recurrent ones keep their pretrained flow at first.
    frozen = {name for name in weights if 'spynet' in name}
    assert frozen == {n for n, weight in weights.items() if not weight.requires_grad}
    assert moved
    assert not moved & frozen


@pytest.mark.parametrize('size', [(64, 64), (67, 93), (33, 46), (5, 2)])
@pytest.mark.parametrize('length', [1, 4])
@pytest.mark.parametrize('name', ['bicubic', *sorted({*TINY} - {*TESTED_ALONE})])
def test_clips_of_any_size_are_restored(make_config, name, length, size):
    restorer = build_restorer(build_network(make_config(name)).eval())
    clip = torch.rand(length, 3, *size)
    if name == 'basicvsr_pp' and min(size) < 64:
        with pytest.raises(ValueError, match='at least 64x64 pixels, got'):
            next(restorer.restore(clip))
        return
    restored = torch.stack([*restorer.restore(clip)])
    assert restored.shape == (length, 3, *(4 * n for n in size))
    assert restored.isfinite().all()


def test_of_tdan_the_restored_frame_is_taken(make_config):
    """It returns the frames that it has aligned, too."""
    config = make_config('tdan')
    network = build_network(config).eval()
    frames = torch.rand(5, 3, 8, 12)
    with torch.no_grad():
        expected, *_ = network(frames.unsqueeze(0))
    given = [*build_restorer(network).restore(frames)][2]
    torch.testing.assert_close(given, expected[0])


def test_basicvsr_restores_a_clip_as_one(make_config):
    network = build_network(make_config('basicvsr_pp')).eval()
    frames = torch.rand(4, 3, 64, 65)
    with torch.no_grad():
        expected = network(frames.unsqueeze(0))[0]
    given = torch.stack([*build_restorer(network).restore(frames)])
    torch.testing.assert_close(given, expected)


def enlarge(image, mode):
    return F.interpolate(image, scale_factor=4, mode=mode, antialias=mode == 'bicubic')


@pytest.mark.parametrize(
    ('name', 'silenced', 'expect'),
    [
        ('bicubic', None, lambda centre: enlarge(centre, 'bicubic')),
        ('basicvsr_pp', 'conv_last', lambda centre: enlarge(centre, 'bilinear')),
        ('edvr', 'conv_last', lambda centre: enlarge(centre, 'bilinear')),
        ('edvr_predeblur', 'conv_last', lambda centre: enlarge(centre, 'bilinear')),
        ('restormer', 'tail.4', lambda centre: enlarge(centre, 'bilinear')),
        ('rvrt', 'tail.9', lambda centre: enlarge(centre, 'bilinear')),
        ('tdan', 'reconstruct.4', lambda centre: 0 * enlarge(centre, 'bilinear')),
    ],
)
@torch.no_grad()
def test_the_centre_frame_is_predicted_and_measured(
    make_config, name, silenced, expect
):
    """With a convolution at zero, the prediction is known."""
    config = make_config(name)
    model = MODELS.build(config.model).eval()
    if silenced:
        for parameter in model.generator.get_submodule(silenced).parameters():
            parameter.zero_()
    sample = DATASETS.build(config.val_dataloader.dataset)[2]
    centre = sample['inputs'][len(sample['inputs']) // 2].float()
    expected = expect(centre[None])[0].clamp(0, 255)
    (result,) = model.test_step(pseudo_collate([sample]))
    given = result.output.pred_img.flip(0)  # from BGR
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-2)
    assert result.gt_img.shape == given.shape
    for cfg in config.val_evaluator.metrics:
        metric = METRICS.build(cfg)
        metric.process(None, [result.to_dict()])
        assert np.isfinite(metric.compute_metrics(metric.results)[metric.metric])


@pytest.mark.parametrize('name', ['bicubic', *TINY])
def test_all_frames_that_count_are_tested(make_config, name):
    config = make_config(name)
    (metric,) = config.test_evaluator.metrics
    assert metric == dict(type='VSRDBMetric', protocol='published')
    dataset = DATASETS.build(config.test_dataloader.dataset)
    METRICS.build(metric).prepare(None, DataLoader(dataset))
