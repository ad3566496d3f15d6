"""Samples of scenes that are made up."""

import cv2
import numpy as np
import pytest
import torch
from mmagic.datasets.transforms import MATLABLikeResize
from mmagic.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from fmanet_mm.datasets import SyntheticMotionDataset
from fmanet_mm.datasets.scene import Scene
from fmanet_mm.utils import config_root

IMAGES = ('img', 'gt', 'img_sharp')


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    yield
    cv2.setNumThreads(threads)


def make(**kwargs):
    kwargs = dict(size=(20, 28), motion=(0.0, 3.0)) | kwargs
    return SyntheticMotionDataset(**kwargs)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        if key in (*IMAGES, 'flow'):
            np.testing.assert_array_equal(a[key], b[key])
        else:
            assert a[key] == b[key]


def matlab_like(image, scale):
    resize = MATLABLikeResize(keys=['img'], scale=1 / scale)
    return resize.transform(dict(img=image))['img'].clip(0, 255)


def light(codes):
    codes = np.asarray(codes) / 255
    return np.where(codes < 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def record_sub_frames(monkeypatch):
    recorded = []
    original = Scene.sub_frames

    def sub_frames(self, *args):
        recorded.append([frame.copy() for frame in original(self, *args)])
        return recorded[-1]

    monkeypatch.setattr(Scene, 'sub_frames', sub_frames)
    return recorded


def test_sample_has_the_keys_of_loaded_files():
    sample = make(num_input_frames=5)[7]
    assert sample['key'] == '00000007/00000002'
    assert sample['img_path'] == [f'00000007/0000000{i}' for i in range(5)]
    assert sample['sample_idx'] == 7
    for key, shape in (('img', (20, 28)), ('gt', (80, 112)), ('img_sharp', (20, 28))):
        assert sample[f'{key}_channel_order'] == 'rgb'
        assert len(sample[key]) == 5
        for frame in sample[key]:
            assert frame.dtype == np.uint8 and frame.shape == (*shape, 3)
    assert len(sample['flow']) == 5
    for index, flow in enumerate(sample['flow']):
        assert flow.dtype == np.float32 and flow.shape == (20, 28, 2)
        assert flow.any() == (index != 2)


def test_one_output_frame_is_the_centre():
    sample, full = make(num_output_frames=1)[3], make()[3]
    np.testing.assert_array_equal(sample.pop('gt'), full.pop('gt')[1])
    assert_same(sample, full)


def test_blur_is_the_average_light_of_the_sub_frames(monkeypatch):
    recorded = record_sub_frames(monkeypatch)
    sample = make(motion=(4.0, 4.0))[0]
    assert len(recorded) == 3
    for index, frames in enumerate(recorded):
        np.testing.assert_array_equal(sample['gt'][index], frames[len(frames) // 2])
        mean = light(frames).mean(0)
        codes = 255 * np.where(
            mean < 0.0031308, 12.92 * mean, 1.055 * mean ** (1 / 2.4) - 0.055
        )
        blurry = np.rint(codes).astype(np.uint8)
        error = np.abs(sample['img'][index] - matlab_like(blurry, 4))
        assert error.max() < 1
        assert np.abs(sample['img'][index] - matlab_like(frames[0], 4)).max() > 10


def test_half_of_the_time_white_is_half_of_the_light(monkeypatch):
    frames = [np.full((80, 112, 3), value, np.uint8) for value in (0, 255, 255, 0)]
    monkeypatch.setattr(Scene, 'sub_frames', lambda self, *args: frames)
    sample = make()[0]
    assert (np.array(sample['img']) == 188).all()
    assert (np.array(sample['img_sharp']) == 255).all()


def test_sharp_lr_is_the_bicubic_of_hr():
    for scale in (2, 4):
        sample = make(scale=scale)[1]
        for small, large in zip(sample['img_sharp'], sample['gt'], strict=True):
            assert large.shape == (scale * 20, scale * 28, 3)
            assert np.abs(small - matlab_like(large, scale)).max() < 0.501


def test_motion_is_in_its_range():
    for low, high in ((0.0, 0.0), (0.5, 1.0), (5.0, 6.0)):
        dataset = make(motion=(low, high), exposure=(0.1, 0.1))
        flow = np.array([dataset[index]['flow'] for index in range(6)])
        means = np.linalg.norm(flow[:, [0, 2]], axis=-1).mean((1, 2, 3))
        assert (means >= 0.99 * low).all() and (means <= 1.01 * high).all()
        assert low == 0 or means.std() > 0


def test_exposure_makes_the_blur():
    def blur(exposure):
        sample = make(exposure=exposure, motion=(3.0, 3.0))[2]
        return np.abs(np.subtract(sample['img'], sample['img_sharp'], dtype=float))

    short, long = (blur((value, value)).mean() for value in (0.0, 1.0))
    assert short < 0.5 and long > 3


def test_sample_depends_on_seed_and_index_alone():
    dataset = make(length=50)
    first = dataset[4]
    np.random.seed(3)
    dataset[9]
    assert_same(dataset[4], first)
    assert_same(make(length=50)[4], first)
    assert_same(dataset[-46], first)
    assert make(seed=1)[4]['key'] == first['key']
    for other in (make(seed=1)[4], dataset[5]):
        assert np.abs(np.subtract(other['gt'], first['gt'], dtype=float)).mean() > 5


def test_workers_make_the_same_samples():
    dataset = make(length=6)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=1, num_workers=2, collate_fn=lambda batch: batch[0]
    )
    for index, sample in enumerate(loader):
        assert_same(sample, dataset[index])


def test_length_is_finite_and_subsets_keep_their_scenes():
    assert len(make()) == 1_000_000
    assert make()[999_999]['key'] == '00999999/00000001'
    with pytest.raises(IndexError):
        make(length=3)[3]
    subset = make(indices=[5, 2])
    assert len(subset) == 2
    sample = subset[1]
    assert (sample.pop('sample_idx'), make()[2].pop('sample_idx')) == (1, 2)
    expected = make()[2]
    del expected['sample_idx']
    assert_same(sample, expected)


def test_folders_replace_the_shipped_photos(tmp_path):
    image = np.zeros((130, 130, 3), np.uint8)
    image[..., 2] = 200  # BGR
    cv2.imwrite(str(tmp_path / 'red.png'), image)
    sample = make(folders=[tmp_path], shipped=False)[0]
    for key in IMAGES:
        assert (np.array(sample[key]) == (200, 0, 0)).all()


def test_damaged_photo_is_named(tmp_path):
    path = tmp_path / 'a.jpg'
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    path.write_bytes(path.read_bytes()[:2000])
    dataset = make(folders=[tmp_path], shipped=False)
    with pytest.raises(ValueError, match='a.jpg cannot be read'):
        dataset[0]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(num_input_frames=4), 'num_input_frames must be odd.* got 4'),
        (dict(num_input_frames=1), 'num_input_frames must be .* at least 3, got 1'),
        (dict(num_output_frames=2), r'num_output_frames must be 1, or .*\(3\), got 2'),
        (dict(size=(20, 15)), r'size must be .* at least 16, got \(20, 15\)'),
        (dict(size=(20,)), 'size must be'),
        (dict(scale=0), 'scale must be at least 1, got 0'),
        (dict(length=0), 'length must be at least 1, got 0'),
        (dict(seed=-1), 'seed must not be negative, got -1'),
        (dict(motion=(3, 2)), r'motion must be a range .*got \(3, 2\)'),
        (dict(motion=(-1, 2)), 'motion must be a range'),
        (dict(exposure=(0.5, 1.5)), 'exposure must be .* high <= 1, got'),
        (dict(num_pieces=(1, 2, 3)), 'num_pieces must be a range'),
        (dict(shipped=False), 'there are no photos'),
    ],
)
def test_arguments_out_of_range(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_configs_feed_both_stages():
    for stage in (1, 2):
        config = Config.fromfile(config_root() / f'fmanet_stage{stage}_synthetic.py')
        preprocessor = MODELS.build(config.model.data_preprocessor)
        dataset = DATASETS.build(config.train_dataloader.dataset)
        data = preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=True)
        samples = data['data_samples']
        assert samples.key == ['00000000/00000001', '00000001/00000001']
        assert data['inputs'].shape == samples.img_sharp.shape == (2, 3, 3, 64, 64)
        assert samples.gt_img.shape == (2, 3, 3, 256, 256)
        assert samples.flow.shape == (2, 3, 2, 64, 64)
        assert 0.2 < samples.gt_img.mean() < 0.8 and samples.gt_img.max() <= 1

        dataset = DATASETS.build(config.val_dataloader.dataset)
        assert len(dataset) == 32
        data = preprocessor(pseudo_collate([dataset[0]]))
        assert data['inputs'].shape == (1, 3, 3, 96, 128)
        window = () if stage == 2 else (3,)
        assert data['data_samples'].gt_img.shape == (1, *window, 3, 384, 512)
        assert config.test_dataloader.dataset == config.val_dataloader.dataset
