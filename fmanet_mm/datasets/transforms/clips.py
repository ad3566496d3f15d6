"""Transforms of clips that have an exposure for each frame."""

from pathlib import PurePath

import numpy as np
import torch
from mmagic.datasets.transforms import PackInputs
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from .geometry import IMAGE_KEYS, VSRDBRandomCrop, VSRDBRandomFlip

CLIP_DATA_KEYS = ('flow', 'exposure')
"""Targets of a clip that MMagic does not know, as far as it has them."""


@TRANSFORMS.register_module()
class PackClip(PackInputs):
    """Pack a clip for networks that restore all of its frames.

    Required key: ``img``, a list of T LR frames of shape (H, W, 3).

    Optional keys: ``gt``, a list of T HR frames; ``flow``, a list of 2T arrays of shape
    (H, W, 2); ``exposure``, a list of T levels.

    It gives ``inputs``, (T, 3, H, W), also for T = 1, and ``data_samples`` with
    ``gt_img``, (T, 3, sH, sW), ``flow``, (2T, 2, H, W), and ``exposure``, int64 of
    shape (T,).
    """

    def __init__(self) -> None:
        super().__init__(meta_keys=['key'], data_keys=[*CLIP_DATA_KEYS])

    def transform(self, results: dict) -> dict:
        """Pack the clip."""
        if 'exposure' in results:
            results = dict(results, exposure=torch.tensor(results['exposure']))
        packed = super().transform(results)
        # MMagic takes a list of one frame for an image.
        if packed['inputs'].dim() == 3:
            packed['inputs'] = packed['inputs'][None]
            sample = packed['data_samples']
            if 'gt_img' in sample:
                sample.gt_img = sample.gt_img[None]
        return packed

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'


@TRANSFORMS.register_module()
class CentreWindow(BaseTransform):
    """Cut a window of three frames out of the middle of a clip.

    Networks of windows, such as FMA-Net, are thus trained and measured on the same
    frames as those of clips.

    Required keys: ``key``; ``img``, a list of T frames, T odd and at least 3;
    ``img_path``, a list of their names.

    Optional keys: ``gt`` and ``img_sharp``, lists of T frames; ``flow``, a list of 2T
    arrays. They become those of a window: ``flow`` leads from the centre frame to each
    of the three, ``key`` ends in the name of the centre frame. ``exposure`` is removed.

    Args:
        num_output_frames (int, optional): 1 to give only the centre frame as ``gt``, as
            an array. By default all three.
    """

    def __init__(self, num_output_frames: int | None = None) -> None:
        self.num_output_frames = num_output_frames

    def transform(self, results: dict) -> dict:
        """Cut the window.

        Raises:
            ValueError: If the clip has no three frames around its middle.
        """
        count = len(results['img'])
        if count < 3 or count % 2 == 0:
            raise ValueError(
                f'{results["key"]} must have an odd number of frames, at least 3, got '
                f'{count}; set clip_length in the dataset'
            )
        centre = count // 2
        for key in ('img_path', *IMAGE_KEYS):
            if key in results:
                results[key] = results[key][centre - 1 : centre + 2]
        if 'flow' in results:
            previous, following = results['flow'][2 * centre : 2 * centre + 2]
            results['flow'] = [previous, np.zeros_like(previous), following]
        if self.num_output_frames == 1 and 'gt' in results:
            results['gt'] = results['gt'][1]
        clip = results['key'].rpartition('/')[0]
        results['key'] = f'{clip}/{PurePath(results["img_path"][1]).stem}'
        results.pop('exposure', None)
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(num_output_frames={self.num_output_frames})'


@TRANSFORMS.register_module()
class RandomViews(BaseTransform):
    """Replace each blurry frame by several random crops, mirrored at random.

    They show one scene at one exposure: views of a sample for contrastive learning.
    Nothing is done to their blur or colours, which would change what is learned.

    Required keys: ``img``, a list of T LR frames of shape (H, W, 3); ``exposure``, a
    list of T levels. Afterwards both hold T V entries, those of one frame next to each
    other. Other kinds of frames and the flow are removed.

    Args:
        patch_size (int): Height and width of a view, in LR pixels.
        num_views (int): Views of each frame, V.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(self, patch_size: int, num_views: int = 2) -> None:
        for name, value in (('patch_size', patch_size), ('num_views', num_views)):
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        self.patch_size = patch_size
        self.num_views = num_views
        self._crop = VSRDBRandomCrop(patch_size, scale=1)
        self._flip = VSRDBRandomFlip()

    def transform(self, results: dict) -> dict:
        """Crop the views.

        Raises:
            ValueError: If there is no exposure, or frames are smaller than a view.
        """
        name = results.get('key', 'sample')
        frames, levels = results['img'], results.get('exposure')
        if levels is None or len(levels) != len(frames):
            found = 'none' if levels is None else len(levels)
            raise ValueError(
                f"{name} must have an 'exposure' for each of its {len(frames)} frames, "
                f'got {found}; use a dataset with labels, such as REDSMEDataset'
            )
        views = [
            self._flip(self._crop(dict(img=[frame], key=name)))['img'][0]
            for frame in frames
            for _ in range(self.num_views)
        ]
        for key in ('gt', 'img_sharp', 'flow'):
            results.pop(key, None)
        results['img'] = views
        results['exposure'] = np.repeat(levels, self.num_views).tolist()
        return results

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(patch_size={self.patch_size}, '
            f'num_views={self.num_views})'
        )
