"""Degradation of sharp frames: blur and downsampling."""

from collections.abc import Container, Iterable, Iterator

import cv2
import numpy as np
import torch
import torch.nn.functional as F


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """Decode sRGB values to linear light (IEC 61966-2-1).

    Args:
        value (np.ndarray): sRGB values in [0, 1].

    Returns:
        np.ndarray: Linear light in [0, 1], of the same shape and dtype.
    """
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB, the inverse of :func:`srgb_to_linear`.

    Args:
        value (np.ndarray): Linear light in [0, 1].

    Returns:
        np.ndarray: sRGB values in [0, 1], of the same shape and dtype.
    """
    return np.where(
        value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055
    )


# Float32 holds sums of such integers exactly.
_CODES = np.arange(256, dtype=np.float32)
_LINEAR_CODES = srgb_to_linear(_CODES / 255)


def average_frames(
    frames: Iterable[np.ndarray], linear_light: bool = False
) -> np.ndarray:
    """Blur like a camera whose shutter is open during all the frames.

    Args:
        frames (Iterable[np.ndarray]): uint8 frames of one shape (H, W, 3).
        linear_light (bool): Average light instead of pixel values: frames are decoded
            by the sRGB transfer function before and encoded after. Bright points then
            leave streaks as in a camera.

    Returns:
        np.ndarray: uint8 frame of shape (H, W, 3), rounded half up.

    Raises:
        ValueError: If there are no frames.
    """
    total, number = 0, 0
    for number, total in _sums(frames, linear_light):  # noqa: B007
        pass
    if number == 0:
        raise ValueError('frames must hold at least one frame, got none')
    return _encode(total / number, linear_light)


def average_first(
    frames: Iterable[np.ndarray], counts: Container[int], linear_light: bool = False
) -> Iterator[np.ndarray]:
    """Blur like cameras whose shutters open together and close one after another.

    Args:
        frames (Iterable[np.ndarray]): uint8 frames of one shape (H, W, 3).
        counts (Container[int]): Numbers of frames, from the first on, to average.
        linear_light (bool): See :func:`average_frames`.

    Yields:
        np.ndarray: What :func:`average_frames` gives for the first ``count`` frames, in
        the order of the counts' size, as soon as these frames are read.
    """
    for number, total in _sums(frames, linear_light):
        if number in counts:
            yield _encode(total / number, linear_light)


def _sums(
    frames: Iterable[np.ndarray], linear_light: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number and the sum, updated in place, of the first frames."""
    table = _LINEAR_CODES if linear_light else _CODES
    total: np.ndarray | None = None
    for number, frame in enumerate(frames, start=1):
        codes = cv2.LUT(frame, table)
        total = codes if total is None else np.add(total, codes, out=total)
        yield number, total


def _encode(mean: np.ndarray, linear_light: bool) -> np.ndarray:
    return round_to_uint8(255 * linear_to_srgb(mean) if linear_light else mean)


def bicubic_downsample(image: np.ndarray, scale: int) -> np.ndarray:
    """Downsample an image like MATLAB's ``imresize(image, 1 / scale)``.

    The kernel is bicubic with a = -0.5, stretched by the scale against aliasing, and
    the image is mirrored at its borders. Pixel values are processed without linearising
    them, in float, and rounded once at the end, half up; MATLAB itself, given uint8,
    rounds after each of the two dimensions. The values are those of MMagic's
    ``MATLABLikeResize``, which leaves rounding to the caller and is about four times
    slower.

    Args:
        image (np.ndarray): uint8 image of shape (H, W, 3), H and W multiples of the
            scale.
        scale (int): Ratio of the sizes, s.

    Returns:
        np.ndarray: uint8 image of shape (H / s, W / s, 3).

    Raises:
        ValueError: If H or W is not a multiple of the scale.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ValueError(
            f'the image must have sides that are multiples of the scale {scale}, got '
            f'(H, W) = {(height, width)}; crop it with crop_to_multiple'
        )
    if scale == 1:
        return image
    # PyTorch truncates the kernel at the borders, MATLAB mirrors the image. The kernel
    # has a radius of 2s pixels.
    margin = 2 * scale
    mirrored = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), 'symmetric')
    small = F.interpolate(
        torch.from_numpy(mirrored).permute(2, 0, 1)[None].float(),
        size=(height // scale + 4, width // scale + 4),
        mode='bicubic',
        antialias=True,
    )
    return round_to_uint8(small[0, :, 2:-2, 2:-2].permute(1, 2, 0).numpy())


def crop_to_multiple(image: np.ndarray, multiple: int) -> np.ndarray:
    """Crop the borders evenly so that both sides are multiples of a number.

    Args:
        image (np.ndarray): Image of shape (H, W, 3).
        multiple (int): The number that H and W must be multiples of.

    Returns:
        np.ndarray: View of the centre, smaller by less than ``multiple``.
    """
    height, width = (side // multiple * multiple for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return image[top : top + height, left : left + width]


def round_to_uint8(value: np.ndarray) -> np.ndarray:
    """Round half up, as MATLAB does; numpy rounds half to even."""
    return np.floor(value + 0.5).clip(0, 255).astype(np.uint8)
