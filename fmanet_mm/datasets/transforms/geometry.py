"""Geometric transforms of the frames of all kinds together with the flow."""

from collections.abc import Callable
from operator import itemgetter

import mmcv
import numpy as np
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

IMAGE_KEYS = ('img', 'gt', 'img_sharp')
"""Keys of the frames in a sample."""

FLOW_SIGNS = {'horizontal': (-1, 1), 'vertical': (1, -1)}
"""Factors of the components of the flow, x then y, by direction of the flip."""


@TRANSFORMS.register_module()
class CheckScale(BaseTransform):
    """Raise if the sizes of a sample's kinds do not fit each other.

    Required keys: ``img``, a list of LR frames.

    Optional keys: ``gt``, one HR frame or a list of them, exactly ``scale`` times as
    large; ``img_sharp``, a list of sharp LR frames, and ``flow``, of the same size.

    Args:
        scale (int): Ratio of HR to LR size, s.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale

    def transform(self, results: dict) -> dict:
        """Check the sample and return it unchanged.

        Raises:
            ValueError: If the sizes do not fit; it names the sample and both sizes.
        """
        height, width = _size(results['img'])
        for key, factor in (('gt', self.scale), ('img_sharp', 1), ('flow', 1)):
            expected = (factor * height, factor * width)
            if key in results and _size(results[key]) != expected:
                raise ValueError(
                    f"'{key}' of {results.get('key', 'sample')} has (H, W) = "
                    f"{_size(results[key])}, but 'img' has {(height, width)}; "
                    f'expected {factor} times that, {expected}'
                )
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(scale={self.scale})'


@TRANSFORMS.register_module()
class VSRDBRandomCrop(BaseTransform):
    """Crop the same random patch from all frames and the flow.

    It is aligned to LR pixels. See :class:`CheckScale` for the keys and checks.

    Args:
        patch_size (int): Height and width of the LR patch, in LR pixels.
        scale (int): Ratio of HR to LR size, s. The HR patch is s times as large.
    """

    def __init__(self, patch_size: int, scale: int) -> None:
        self.patch_size = patch_size
        self.scale = scale
        self._check_scale = CheckScale(scale)

    def transform(self, results: dict) -> dict:
        """Crop the sample.

        Raises:
            ValueError: If the frames are smaller than the patch, or the sizes do not
                fit.
        """
        self._check_scale(results)
        height, width = _size(results['img'])
        if min(height, width) < self.patch_size:
            raise ValueError(
                f"'img' of {results.get('key', 'sample')} has (H, W) = "
                f'{(height, width)}, smaller than the patch_size of {self.patch_size}'
            )
        top = np.random.randint(height - self.patch_size + 1)
        left = np.random.randint(width - self.patch_size + 1)
        for key in (*IMAGE_KEYS, 'flow'):
            factor = self.scale if key == 'gt' else 1
            patch = tuple(
                slice(factor * start, factor * (start + self.patch_size))
                for start in (top, left)
            )
            _apply(results, key, itemgetter(patch))
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(patch_size={self.patch_size}, '
            f'scale={self.scale})'
        )


@TRANSFORMS.register_module()
class VSRDBRandomFlip(BaseTransform):
    """Randomly flip all frames and the flow together.

    The component of the flow along the direction changes sign. See :class:`CheckScale`
    for the keys.

    Args:
        horizontal (float): Probability of mirroring left and right.
        vertical (float): Probability of mirroring top and bottom.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.5) -> None:
        self.probabilities = dict(horizontal=horizontal, vertical=vertical)
        for name, probability in self.probabilities.items():
            if not 0 <= probability <= 1:
                raise ValueError(f'{name} must be in [0, 1], got {probability}')

    def transform(self, results: dict) -> dict:
        """Flip the sample at random."""
        for direction, probability in self.probabilities.items():
            if np.random.random() < probability:
                flip(results, direction)
        return results

    def __repr__(self) -> str:
        arguments = ', '.join(f'{key}={p}' for key, p in self.probabilities.items())
        return f'{self.__class__.__name__}({arguments})'


@TRANSFORMS.register_module()
class VSRDBRandomTranspose(BaseTransform):
    """Randomly swap rows and columns of all frames and the flow together.

    The components of the flow are swapped too. With :class:`VSRDBRandomFlip`, it gives
    all eight orientations of a square patch. See :class:`CheckScale` for the keys.

    Args:
        probability (float): Probability of transposing.
    """

    def __init__(self, probability: float = 0.5) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f'probability must be in [0, 1], got {probability}')
        self.probability = probability

    def transform(self, results: dict) -> dict:
        """Transpose the sample at random.

        Raises:
            ValueError: If the frames are not square; a batch would have two shapes.
        """
        height, width = _size(results['img'])
        if height != width:
            raise ValueError(
                f"'img' of {results.get('key', 'sample')} has (H, W) = "
                f'{(height, width)}, but only square frames can be transposed at '
                'random; crop them first'
            )
        if np.random.random() < self.probability:
            transpose(results)
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(probability={self.probability})'


@TRANSFORMS.register_module()
class VSRDBRandomChannels(BaseTransform):
    """Randomly permute the colour channels of all frames together.

    All frames of a window get the same permutation; the flow does not change. See
    :class:`CheckScale` for the keys.

    Args:
        probability (float): Probability of choosing one of the six orders; one of them
            is the original.
    """

    def __init__(self, probability: float = 1.0) -> None:
        if not 0 <= probability <= 1:
            raise ValueError(f'probability must be in [0, 1], got {probability}')
        self.probability = probability

    def transform(self, results: dict) -> dict:
        """Permute the channels of the sample at random."""
        if np.random.random() < self.probability:
            order = np.random.permutation(3)
            for key in IMAGE_KEYS:
                _apply(results, key, lambda image: image[..., order])
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(probability={self.probability})'


def flip(results: dict, direction: str) -> None:
    """Flip the frames and the flow of a sample.

    Args:
        results (dict): The sample; it gets new arrays.
        direction (str): ``'horizontal'`` or ``'vertical'``.
    """
    for key in (*IMAGE_KEYS, 'flow'):
        _apply(results, key, lambda array: mmcv.imflip(array, direction))
    signs = np.array(FLOW_SIGNS[direction], np.float32)
    _apply(results, 'flow', lambda flow: flow * signs)


def transpose(results: dict) -> None:
    """Swap rows and columns of the frames and the flow of a sample.

    Args:
        results (dict): The sample; it gets new arrays.
    """
    for key in (*IMAGE_KEYS, 'flow'):
        _apply(results, key, lambda array: np.ascontiguousarray(array.swapaxes(0, 1)))
    _apply(results, 'flow', lambda flow: np.ascontiguousarray(flow[..., ::-1]))


def _apply(
    results: dict, key: str, function: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Apply a function to an image or a list of images, if the sample has it."""
    if isinstance(results.get(key), list):
        results[key] = [function(array) for array in results[key]]
    elif key in results:
        results[key] = function(results[key])


def _size(images: np.ndarray | list[np.ndarray]) -> tuple[int, int]:
    """(H, W) of an image, or of a list of images of one size."""
    image = images[0] if isinstance(images, list) else images
    return image.shape[:2]
