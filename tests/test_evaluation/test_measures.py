import cv2
import numpy as np
import pytest
import torch
from skimage import data
from skimage.metrics import structural_similarity
from torchvision.models import squeezenet1_1

from fmanet_mm.evaluation import LPIPS, Measures, niqe, psnr, ssim, tof
from fmanet_mm.evaluation.measures import to_luma


def grey(image):
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def shifted(pixels, size=(96, 128)):
    """A smooth texture, moved to the right."""
    noise = np.random.default_rng(0).integers(0, 256, (size[0], size[1] + 64), np.uint8)
    texture = cv2.normalize(
        cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX
    )
    image = texture[:, 32 - pixels : 32 - pixels + size[1]]
    return np.repeat(image[..., None], 3, axis=2)


def test_golden_psnr_and_ssim(golden):
    outputs, targets, expected = golden
    for output, target, frame in zip(outputs, targets, expected['frames'], strict=True):
        assert psnr(output, target, 4) == pytest.approx(
            frame['rgb_psnr_border4'], abs=1e-11
        )
        assert psnr(output, target) == pytest.approx(
            frame['rgb_psnr_border0'], abs=1e-11
        )
        assert ssim(output, target, 4) == pytest.approx(
            frame['ssim_border4'], abs=1e-11
        )


def test_golden_tof(golden):
    outputs, targets, expected = golden
    for i in (1, 2, 3):
        pairs = [[*map(grey, frames[i - 1 : i + 1])] for frames in (outputs, targets)]
        value = expected['frames'][i]['tOF']
        assert tof(*pairs) == pytest.approx(value, abs=1e-6)


def test_luma_weighs_green_most():
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255] * 3, [0] * 3]])
    luma = to_luma(colours.astype(np.uint8))
    expected = [81.481, 144.553, 40.966, 235, 16]
    np.testing.assert_allclose(luma[0, :, 0], expected, atol=1e-9)


def test_golden_luma_of_the_authors_weighs_blue_as_red(golden):
    outputs, targets, expected = golden
    for output, target, frame in zip(outputs, targets, expected['frames'], strict=True):
        swapped = [to_luma(image[..., ::-1]) for image in (output, target)]
        value = frame['y_psnr_official_bgr_border4']
        assert psnr(*swapped, 4) == pytest.approx(value, abs=1e-5)
        assert abs(psnr(to_luma(output), to_luma(target), 4) - value) > 1e-4


def test_ssim_is_that_of_scikit_image(golden):
    pair = [to_luma(images[0]) for images in golden[:2]]
    expected = structural_similarity(
        pair[0][..., 0], pair[1][..., 0], data_range=255, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert ssim(*pair) == pytest.approx(expected, abs=1e-6)


def test_equal_images(golden):
    image = golden[0][0]
    assert psnr(image, image) == float('inf')
    assert ssim(image, image) == pytest.approx(1)


def test_tof_is_the_difference_of_motion_in_pixels():
    still, moved = grey(shifted(0)), grey(shifted(3))
    assert tof((still, moved), (still, moved)) == 0
    assert tof((still, still), (still, moved)) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize('size, ok', [((48, 48), True), ((47, 60), False)])
def test_tof_needs_48_pixels(size, ok):
    frames = [np.zeros(size, np.uint8)] * 2
    if ok:
        assert tof(frames, frames) == 0
    else:
        with pytest.raises(ValueError, match=r'at least 48 .*\(47, 60\)'):
            tof(frames, frames)


def test_tof_leaves_borders_out():
    """32 of 48 rows and columns count, in the middle."""
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 256, (2, 96, 96), np.uint8)
    flows = [
        cv2.calcOpticalFlowFarneback(a, b, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        for a, b in ((first, second), (second, first))
    ]
    length = np.linalg.norm(flows[0] - flows[1], axis=2)
    value = tof((first, second), (second, first))
    assert value == pytest.approx(length[16:80, 16:80].mean(), abs=1e-5)


def test_too_small_for_ssim():
    image = np.zeros((18, 40, 3), np.uint8)
    with pytest.raises(ValueError, match=r'\(18, 40\).*border of 4 .*11 x 11'):
        ssim(image, image, 4)


def test_measures_of_a_frame(golden):
    outputs, targets, expected = golden
    measures = Measures(['PSNR', 'SSIM-Y'], border=4)
    values = measures.of_frame(outputs[0], targets[0])
    assert values.keys() == {'PSNR', 'SSIM-Y'}
    assert values['PSNR'] == pytest.approx(expected['frames'][0]['rgb_psnr_border4'])
    assert values['SSIM-Y'] == ssim(to_luma(outputs[0]), to_luma(targets[0]), 4)
    assert not measures.needs_pairs


def test_motion_is_the_mean_absolute_component():
    measures = Measures(['PSNR'], motion=dict(type='DISFlowEstimator'))
    kept = [measures.keep(shifted(pixels), shifted(pixels)) for pixels in (0, 8)]
    values = measures.of_pair(*kept)
    # 8 pixels along x and none along y.
    assert values == {'motion': pytest.approx(4, abs=0.3)}


@pytest.mark.parametrize('names', [[], ['PSNR', 'VMAF']])
def test_unknown_measures(names):
    with pytest.raises(ValueError, match='from .*LPIPS.*got'):
        Measures(names)


def test_lpips_says_where_weights_belong(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        Measures(['LPIPS'])
    file = tmp_path / 'checkpoints/alexnet-owt-7be5be79.pth'
    assert f'needs the weights {file}' in str(error.value)
    assert 'https://download.pytorch.org/models/alexnet-owt' in str(error.value)


def test_lpips_grows_with_the_difference(tmp_path, monkeypatch, golden):
    """On random weights in the place of the trained ones."""
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    torch.manual_seed(0)
    path = tmp_path / 'checkpoints/squeezenet1_1-b8a52dc0.pth'
    torch.save(squeezenet1_1().state_dict(), path)
    monkeypatch.setattr(
        torch.hub, 'load_state_dict_from_url', lambda *a, **k: torch.load(path)
    )
    monkeypatch.setattr(
        'torchvision.models._api.load_state_dict_from_url',
        lambda *a, **k: torch.load(path),
    )
    lpips = LPIPS('squeeze')
    target = golden[1][0]
    noise = np.random.default_rng(0).normal(size=target.shape)
    noisy = [(target + s * noise).clip(0, 255).astype(np.uint8) for s in (5, 20)]
    assert lpips(target, target) == 0
    assert 0 < lpips(noisy[0], target) < lpips(noisy[1], target)
    assert Measures(['LPIPS'], lpips_net='squeeze').of_frame(noisy[0], target) == {
        'LPIPS': pytest.approx(lpips(noisy[0], target))
    }


def test_niqe_grows_with_blur_and_needs_no_target():
    image = data.astronaut()
    measures = Measures(['NIQE'], border=4)
    sharp = measures.of_frame(image, np.zeros_like(image))['NIQE']
    blurred = cv2.GaussianBlur(image, (0, 0), 2)
    assert 2 < sharp < 5
    assert measures.of_frame(blurred, image)['NIQE'] > sharp + 1
    assert niqe(image[4:-4, 4:-4]) == pytest.approx(sharp)


def test_niqe_is_of_the_luma():
    """Red and blue swapped is another image."""
    image = data.astronaut()[:200, :300]
    assert niqe(image) != pytest.approx(niqe(image[..., ::-1]), abs=1e-3)
    grey = np.repeat(to_luma(image), 3, 2)
    # Grey of the level of the luma has a luma with a smaller range.
    levels = ((grey - 16) * 255 / 219).round().clip(0, 255).astype(np.uint8)
    assert niqe(levels) == pytest.approx(niqe(image), abs=0.1)


def test_small_images_have_no_niqe():
    with pytest.raises(ValueError, match=r'two blocks of 96 x 96 .*\(100, 199\)'):
        niqe(np.zeros((100, 199, 3), np.uint8), border=4)


def test_motion_may_be_that_of_other_frames():
    measures = Measures(['PSNR'], motion=dict(type='DISFlowEstimator'))
    still = shifted(0)
    kept = [measures.keep(still, still, shifted(pixels)) for pixels in (0, 8)]
    assert measures.of_pair(*kept)['motion'] == pytest.approx(4, abs=0.5)
    kept = [measures.keep(still, still) for _ in range(2)]
    assert measures.of_pair(*kept)['motion'] == pytest.approx(0, abs=0.1)
