"""PSNR and SSIM, in float64."""

import cv2
import numpy as np

SSIM_WINDOW = 11
"""Side of the window of SSIM, in pixels."""

_SSIM_SIGMA = 1.5
_SSIM_CONSTANTS = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def psnr(output: np.ndarray, target: np.ndarray, border: int = 0) -> float:
    """Peak signal-to-noise ratio over all channels.

    MMagic computes it in float32, which differs by about 1e-6 dB.

    Args:
        output (np.ndarray): Image of shape (H, W, C) in [0, 255].
        target (np.ndarray): Image of the same shape.
        border (int): Pixels ignored on each side.

    Returns:
        float: dB; infinite for equal images.

    Raises:
        ValueError: If the shapes differ, or the border leaves no pixel.
    """
    _check_pair(output, target, border, smallest=1)
    difference = _cut(output, border).astype(np.float64) - _cut(target, border)
    error = np.mean(difference**2)
    return float(10 * np.log10(255**2 / error)) if error else float('inf')


def ssim(output: np.ndarray, target: np.ndarray, border: int = 0) -> float:
    """Structural similarity: Gaussian window, sigma 1.5; mean over the channels.

    Args:
        output (np.ndarray): Image of shape (H, W, C) in [0, 255].
        target (np.ndarray): Image of the same shape.
        border (int): Pixels ignored on each side.

    Returns:
        float: At most 1.

    Raises:
        ValueError: If the shapes differ, or the images are too small.
    """
    _check_pair(output, target, border, SSIM_WINDOW)
    x, y = (_cut(image, border).astype(np.float64) for image in (output, target))
    channels = range(x.shape[2])
    return float(np.mean([_ssim_map(x[..., c], y[..., c]).mean() for c in channels]))


def _ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM of two channels, where the window fits."""
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x = _smooth(x**2) - mean_x**2
    variance_y = _smooth(y**2) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    c1, c2 = _SSIM_CONSTANTS
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2)
    )


def _smooth(channel: np.ndarray) -> np.ndarray:
    kernel = cv2.getGaussianKernel(SSIM_WINDOW, _SSIM_SIGMA)
    reach = SSIM_WINDOW // 2
    return cv2.filter2D(channel, -1, kernel @ kernel.T)[reach:-reach, reach:-reach]


def _check_pair(
    output: np.ndarray, target: np.ndarray, border: int, smallest: int
) -> None:
    if output.shape != target.shape or output.ndim != 3:
        raise ValueError(
            'output and target must have one shape (H, W, C), got '
            f'{output.shape} and {target.shape}'
        )
    height, width = output.shape[:2]
    if min(height, width) - 2 * border < smallest:
        raise ValueError(
            f'(H, W) = {(height, width)} is too small: without a border of {border} '
            f'pixels, at least {smallest} x {smallest} must remain'
        )


def _cut(image: np.ndarray, border: int) -> np.ndarray:
    height, width = image.shape[:2]
    return image[border : height - border, border : width - border]
