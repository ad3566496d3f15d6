"""Degradation of complete windows."""

import copy
import random

import cv2
import numpy as np
import pytest
from mmagic.registry import TRANSFORMS

from fmanet_mm.datasets import RealisticDegradation
from fmanet_mm.utils.quality import psnr
from fmanet_mm.video.compression import compress_frames

OFF = dict(prob=0)
ALWAYS = dict(prob=1)


def alone(**step):
    """The transform with a single step, which always happens."""
    steps = dict.fromkeys(('blur', 'noise', 'resize', 'compression'), OFF)
    ((name, parameters),) = step.items()
    steps[name] = ALWAYS | parameters
    return RealisticDegradation(probability=1, **steps)


def texture(height=40, width=56):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return cv2.normalize(smooth, None, 40, 215, cv2.NORM_MINMAX)


@pytest.fixture
def still():
    """A window of which all frames are equal."""
    frame = texture()
    return dict(
        key='000/00000001',
        img=[frame.copy() for _ in range(3)],
        img_sharp=[frame.copy() for _ in range(3)],
        gt=[texture(160, 224)] * 3,
        flow=[np.ones((40, 56, 2), np.float32)] * 3,
    )


def test_only_the_input_changes(still):
    before = copy.deepcopy(still)
    transform = TRANSFORMS.build(dict(type='RealisticDegradation', probability=1))
    np.random.seed(0)
    after = transform(still)
    assert after.keys() == before.keys()
    for key in ('img_sharp', 'gt', 'flow'):
        for left, right in zip(after[key], before[key], strict=True):
            np.testing.assert_array_equal(left, right)
    for left, right in zip(after['img'], before['img'], strict=True):
        assert left.dtype == np.uint8 and left.shape == right.shape
        assert not np.array_equal(left, right)


@pytest.mark.parametrize(
    'step', [dict(blur={}), dict(resize=dict(resize_scale=[0.6, 0.9]))]
)
def test_frames_share_lens_and_size(still, step):
    np.random.seed(1)
    frames = alone(**step)(still)['img']
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame, frames[0])
    assert psnr(frames[0], texture()) > 20


def test_noise_differs_between_frames_but_not_its_strength(still):
    noise = dict(noise_prob=[1, 0], gaussian_sigma=[6, 6], gaussian_gray_noise_prob=0)
    np.random.seed(0)
    frames = alone(noise=noise)(still)['img']
    deviations = [frame.astype(float) - texture() for frame in frames]
    assert [round(d.std()) for d in deviations] == [6, 6, 6]
    assert abs(np.corrcoef(deviations[0].ravel(), deviations[1].ravel())[0, 1]) < 0.05


def test_the_blur_is_a_gaussian():
    """Of an isotropic kernel of sigma 1, sampled at 7x7 pixels."""
    point = np.zeros((31, 31, 3), np.uint8)
    point[15, 15] = 255
    blur = dict(kernel_prob=[1, 0], sigma_x=[1, 1], sigma_y=[1, 1])
    (frame,) = alone(blur=blur)(dict(img=[point]))['img']
    y, x = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-(x**2 + y**2) / 2)
    expected = np.floor(255 * kernel / kernel.sum() + 0.5)
    np.testing.assert_allclose(frame[12:19, 12:19, 0], expected, atol=1)
    assert frame.astype(int).sum() == frame[12:19, 12:19].astype(int).sum()


def test_a_window_is_compressed_as_one_clip(still):
    still['img'] = [np.roll(frame, 2 * t, 1) for t, frame in enumerate(still['img'])]
    expected = compress_frames(still['img'], 30)
    frames = alone(compression=dict(crf=[30, 30]))(still)['img']
    for frame, wanted in zip(frames, expected, strict=True):
        np.testing.assert_array_equal(frame, wanted)


def test_noise_is_shrunk_with_the_picture():
    """The area average of four values halves its deviation."""
    grey = dict(img=[np.full((64, 64, 3), 128, np.uint8)] * 3)
    noise = dict(
        prob=1, noise_prob=[1, 0], gaussian_sigma=[10, 10], gaussian_gray_noise_prob=0
    )
    resize = dict(prob=1, resize_scale=[0.5, 0.5], resize_prob=[0, 0, 1])
    np.random.seed(0)
    frames = RealisticDegradation(
        1, blur=OFF, noise=noise, resize=resize, compression=OFF
    )(grey)['img']
    # Enlarging by interpolation smooths it further.
    assert 2 < frames[0].std() < 5


def test_the_seed_of_a_sample_decides(still):
    transform = RealisticDegradation()

    def degrade(seed):
        random.seed(seed)
        np.random.seed(seed)
        return transform(copy.deepcopy(still))['img']

    np.testing.assert_array_equal(degrade(3), degrade(3))
    assert not np.array_equal(degrade(3), degrade(4))


def test_some_windows_stay_clean(still):
    transform = RealisticDegradation(probability=0.5)
    np.random.seed(0)
    clean = sum(
        np.array_equal(transform(copy.deepcopy(still))['img'], still['img'])
        for _ in range(40)
    )
    assert 10 < clean < 30


def test_small_frames_shrink_no_further():
    small = dict(img=[texture(16, 18)] * 3)
    np.random.seed(0)
    resize = dict(prob=1, resize_scale=[0.5, 0.5])
    frames = RealisticDegradation(1, resize=resize, compression=ALWAYS)(small)['img']
    assert [frame.shape for frame in frames] == [(16, 18, 3)] * 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(probability=1.5), r'probability must be in \[0, 1\], got 1.5'),
        (dict(noise=dict(prob=-1)), r'noise.prob must be in \[0, 1\], got -1'),
        (dict(blur=dict(sigma=1)), 'blur has no parameter sigma; it has prob, kernel'),
        (dict(compression=dict(crf=[30, 20])), r'crf must be a range .* \(30, 20\)'),
        (dict(compression=dict(crf=[0, 52])), r'within 0 and 51, got \(0, 52\)'),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        RealisticDegradation(**arguments)


@pytest.mark.parametrize(
    ('frames', 'message'),
    [
        ([], r'must be a list of uint8 frames .*got \[\]'),
        ([np.zeros((20, 20, 3), np.float32)] * 3, 'uint8 frames.*float32'),
        (
            [np.zeros((20, 20, 3), np.uint8), np.zeros((20, 22, 3), np.uint8)],
            r'one shape.*\(20, 22, 3\)',
        ),
        ([np.zeros((12, 20, 3), np.uint8)] * 3, r'\(12, 20\).*before the crop'),
    ],
)
def test_frames_that_cannot_be_degraded(frames, message):
    with pytest.raises(ValueError, match=f"'img' of 000/00000001 .*{message}"):
        RealisticDegradation()(dict(key='000/00000001', img=frames))
