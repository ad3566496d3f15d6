"""Degradation of windows as lenses, sensors, apps and encoders degrade footage."""

import numpy as np
from mmagic.datasets.transforms.random_degradations import (
    RandomBlur,
    RandomNoise,
    RandomResize,
)
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...utils.degradation import round_to_uint8
from ...video.compression import compress_frames

BLUR = dict(
    prob=0.2,
    kernel_size=[7],
    kernel_list=['iso', 'aniso'],
    kernel_prob=[0.5, 0.5],
    sigma_x=[0.2, 0.8],
    sigma_y=[0.2, 0.8],
    rotate_angle=[-np.pi, np.pi],
)
"""Lens: an isotropic or anisotropic Gaussian; standard deviations in LR pixels.

Rare and slight: a network that has seen much defocus sharpens whatever is soft, such as
the background of a portrait.
"""

NOISE = dict(
    prob=0.3,
    noise_type=['gaussian', 'poisson'],
    noise_prob=[0.5, 0.5],
    gaussian_sigma=[0, 6],
    gaussian_gray_noise_prob=0.4,
    poisson_scale=[0, 2],
    poisson_gray_noise_prob=0.4,
)
"""Sensor: independent in each frame, of one strength; sigma in levels of 255."""

RESIZE = dict(
    prob=0.2,
    resize_mode_prob=[0, 1, 0],
    resize_scale=[0.7, 1],
    resize_opt=['bilinear', 'bicubic', 'area'],
    resize_prob=[0.4, 0.3, 0.3],
    is_size_even=True,
)
"""App: shrinking by an unknown kernel; after the compression it is enlarged again."""

COMPRESSION = dict(prob=0.8, crf=[18, 36])
"""Encoder: H.264; ``crf`` is the range of the constant rate factor."""

MIN_SIZE = 16
"""Smallest side of a frame, before and after shrinking: that of a macroblock."""

MAX_CRF = 51
"""Largest constant rate factor of 8-bit H.264."""

_ENLARGING = dict(resize_opt=['bilinear', 'bicubic'], resize_prob=[0.5, 0.5])


@TRANSFORMS.register_module()
class RealisticDegradation(BaseTransform):
    """Degrade the blurry LR frames of a window further, as everyday footage is.

    In this order: blur of the lens, noise of the sensor, shrinking by an unknown
    kernel, compression as a video, enlarging to the former size. Blur, noise and
    resizing are MMagic's. The frames of a window share all parameters and are
    compressed as one clip; only the noise differs from frame to frame. The targets do
    not change: sharp frames and flow stay exact.

    In the pipeline it comes after loading and before cropping, so that the encoder's
    blocks begin anywhere in a patch.

    Required key: ``img``, a list of T uint8 RGB frames of shape (H, W, 3).

    Args:
        probability (float): Probability of degrading a window at all.
        blur (dict, optional): Changes to :data:`BLUR`, parameters of MMagic's
            ``RandomBlur``. ``prob`` is the probability of this step; 0 leaves it out.
        noise (dict, optional): Changes to :data:`NOISE`, of ``RandomNoise``.
        resize (dict, optional): Changes to :data:`RESIZE`, of ``RandomResize``.
        compression (dict, optional): Changes to :data:`COMPRESSION`.

    Raises:
        ValueError: If a parameter is unknown or out of range.
    """

    def __init__(
        self,
        probability: float = 0.9,
        blur: dict | None = None,
        noise: dict | None = None,
        resize: dict | None = None,
        compression: dict | None = None,
    ) -> None:
        self.probability = probability
        self.blur = _change('blur', BLUR, blur)
        self.noise = _change('noise', NOISE, noise)
        self.resize = _change('resize', RESIZE, resize)
        self.compression = _change('compression', COMPRESSION, compression)
        _check_probability('probability', probability)
        low, high = self.compression['crf']
        if not 0 <= low <= high <= MAX_CRF:
            raise ValueError(
                f'compression.crf must be a range (low, high) within 0 and {MAX_CRF}, '
                f'got {(low, high)}'
            )

    def transform(self, results: dict) -> dict:
        """Degrade the window at random.

        Raises:
            ValueError: If the frames are not a list of uint8 frames of one size, or
                smaller than 16 pixels.
        """
        _check_frames(results['img'], results.get('key', 'sample'))
        if np.random.random() < self.probability:
            results['img'] = self._degrade(results['img'])
        return results

    def _degrade(self, frames: list[np.ndarray]) -> list[np.ndarray]:
        size = frames[0].shape[:2]
        least = MIN_SIZE / min(size)
        scale = [max(ratio, least) for ratio in self.resize['resize_scale']]
        steps = (
            RandomBlur(self.blur, ['img']),
            RandomNoise(self.noise, ['img']),
            RandomResize(dict(self.resize, resize_scale=scale), ['img']),
        )
        sample = dict(img=[frame.astype(np.float32) for frame in frames])
        for step in steps:
            sample = step(sample)
        frames = [round_to_uint8(frame) for frame in sample['img']]
        if np.random.random() < self.compression['prob']:
            crf = np.random.uniform(*self.compression['crf'])
            frames = compress_frames(frames, crf)
        if frames[0].shape[:2] != size:
            enlarge = RandomResize(dict(_ENLARGING, target_size=size), ['img'])
            frames = enlarge(dict(img=frames))['img']
        return frames

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(probability={self.probability}, '
            f'blur={self.blur}, noise={self.noise}, resize={self.resize}, '
            f'compression={self.compression})'
        )


def _change(name: str, defaults: dict, changes: dict | None) -> dict:
    """Defaults with some changes, checked."""
    changes = dict(changes or {})
    unknown = sorted(changes.keys() - defaults.keys())
    if unknown:
        raise ValueError(
            f'{name} has no parameter {", ".join(unknown)}; it has '
            f'{", ".join(defaults)}'
        )
    parameters = {**defaults, **changes}
    _check_probability(f'{name}.prob', parameters['prob'])
    return parameters


def _check_probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f'{name} must be in [0, 1], got {value}')


def _check_frames(frames: list[np.ndarray], name: str) -> None:
    found = {(frame.shape, str(frame.dtype)) for frame in frames}
    shape, dtype = next(iter(found), ((), ''))
    if len(found) != 1 or len(shape) != 3 or shape[2] != 3 or dtype != 'uint8':
        raise ValueError(
            f"'img' of {name} must be a list of uint8 frames of one shape (H, W, 3), "
            f'got {sorted(found)}'
        )
    if min(shape[:2]) < MIN_SIZE:
        raise ValueError(
            f"'img' of {name} has (H, W) = {shape[:2]}, but only frames of at least "
            f'{MIN_SIZE} pixels can be compressed; put RealisticDegradation before the '
            'crop'
        )
