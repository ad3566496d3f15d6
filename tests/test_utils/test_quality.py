import numpy as np
import pytest
from mmagic.evaluation import psnr as mmagic_psnr
from mmagic.evaluation import ssim as mmagic_ssim

from fmanet_mm.utils.quality import psnr, ssim


@pytest.mark.parametrize('border', [0, 1, 4])
@pytest.mark.parametrize('shape', [(40, 50, 3), (33, 21, 1)])
def test_the_values_are_those_of_mmagic(shape, border):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 256, shape, np.uint8)
    noise = rng.normal(scale=20, size=shape)
    output = (target + noise).clip(0, 255).round().astype(np.uint8)
    expected = mmagic_ssim(output, target, crop_border=border)
    assert ssim(output, target, border) == pytest.approx(expected, abs=1e-12)
    # MMagic's PSNR is computed in float32.
    expected = mmagic_psnr(output, target, crop_border=border)
    assert psnr(output, target, border) == pytest.approx(expected, abs=1e-5)
    inside = np.s_[border : shape[0] - border, border : shape[1] - border]
    error = np.mean((output[inside].astype(float) - target[inside]) ** 2)
    expected = 20 * np.log10(255) - 10 * np.log10(error)
    assert psnr(output, target, border) == pytest.approx(expected, abs=1e-12)


def test_equal_images():
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    assert psnr(image, image) == float('inf')
    assert ssim(image, image) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize('measure', [psnr, ssim])
def test_images_that_do_not_fit(measure):
    image = np.zeros((18, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r'one shape .*\(18, 39, 3\)'):
        measure(image, image[:, :39])
    with pytest.raises(ValueError, match=r'\(18, 40\) is too small: .*border of 9'):
        measure(image, image, 9)
    with pytest.raises(ValueError, match='at least 11 x 11'):
        ssim(image, image, 4)
