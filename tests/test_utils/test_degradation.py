"""Blur synthesis and bicubic downsampling."""

import numpy as np
import pytest
from mmagic.datasets.transforms import MATLABLikeResize

from fmanet_mm.utils.degradation import (
    average_first,
    average_frames,
    bicubic_downsample,
    crop_to_multiple,
    linear_to_srgb,
    srgb_to_linear,
)

# The bicubic kernel of a = -0.5 for half the size, as MATLAB computes it.
HALF_SIZE_KERNEL = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def constant(value):
    return np.full((2, 2, 3), value, np.uint8)


def halve(image):
    """Halve the columns by the definition, in float64."""
    mirrored = np.pad(image.astype(float), ((0, 0), (3, 3), (0, 0)), 'symmetric')
    taps = [mirrored[:, k : k + image.shape[1] : 2] for k in range(8)]
    return np.tensordot(HALF_SIZE_KERNEL, taps, axes=1)


def test_transfer_function_has_the_values_of_the_standard():
    codes = np.array([0, 0.04045, 0.5, 1])
    linear = srgb_to_linear(codes)
    np.testing.assert_allclose(linear, [0, 0.0031308, 0.2140411, 1], atol=1e-7)
    codes = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(codes)), codes, atol=1e-6)


def test_average_of_frames():
    frames = [noise(5, 6, seed) for seed in range(7)]
    expected = np.floor(np.mean(frames, axis=0) + 0.5)
    averaged = average_frames(iter(frames))
    assert averaged.dtype == np.uint8
    np.testing.assert_array_equal(averaged, expected)
    # Half up: 0.5 and 1.5, which numpy would both round to even.
    assert average_frames([constant(0), constant(1)])[0, 0, 0] == 1
    assert average_frames([constant(1), constant(2)])[0, 0, 0] == 2


def test_average_of_light():
    averaged = average_frames([constant(0), constant(255)], linear_light=True)
    assert averaged[0, 0, 0] == 188
    for value in range(256):
        frames = [constant(value)] * 3
        np.testing.assert_array_equal(average_frames(frames, True), frames[0])


def test_nothing_has_no_average():
    with pytest.raises(ValueError, match='at least one frame'):
        average_frames([])


def test_half_size_is_the_kernels():
    image = noise(12, 20)
    expected = halve(halve(image).transpose(1, 0, 2)).transpose(1, 0, 2)
    expected = np.floor(expected + 0.5).clip(0, 255)
    np.testing.assert_array_equal(bicubic_downsample(image, 2), expected)


@pytest.mark.parametrize('scale', [2, 3, 4, 5])
def test_same_values_as_mmagic(scale):
    image = noise(24 * scale, 31 * scale)
    result = bicubic_downsample(image, scale)
    resize = MATLABLikeResize(keys=['img'], scale=1 / scale)
    reference = resize.transform(dict(img=image))['img']
    assert result.shape == reference.shape and result.dtype == np.uint8
    assert np.abs(result - reference.clip(0, 255)).max() < 0.5 + 1e-3


def test_overshoot_is_clamped():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, 8:] = 255
    result = bicubic_downsample(image, 2)[0, :, 0]
    # Of the kernel, -3, 17, 239 and 259 of 256 lie beyond the edge.
    assert result.tolist() == [0, 0, 0, 17, 238, 255, 255, 255]


def test_scale_one_and_constant_images_stay():
    image = noise(9, 7)
    np.testing.assert_array_equal(bicubic_downsample(image, 1), image)
    for value in (0, 1, 127, 255):
        image = np.full((24, 24, 3), value, np.uint8)
        assert (bicubic_downsample(image, 4) == value).all()


def test_sides_must_fit_the_scale():
    with pytest.raises(ValueError, match=r'scale 4.*\(12, 18\)'):
        bicubic_downsample(noise(12, 18), 4)


def test_crop_is_centred():
    image = noise(11, 18)
    np.testing.assert_array_equal(crop_to_multiple(image, 4), image[1:9, 1:17])
    np.testing.assert_array_equal(crop_to_multiple(image, 1), image)


@pytest.mark.parametrize('linear', [False, True])
def test_shutters_that_close_one_after_another(linear):
    frames = [noise(4, 6, seed) for seed in range(9)]
    means = [*average_first(iter(frames), (2, 4, 8, 20), linear)]
    for mean, count in zip(means, (2, 4, 8), strict=True):
        np.testing.assert_array_equal(mean, average_frames(frames[:count], linear))
    assert not [*average_first([], (1,))]
