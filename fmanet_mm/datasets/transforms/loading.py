"""Loading of the frames and the flow of a window."""

import cv2
import numpy as np
from mmagic.datasets.transforms import LoadImageFromFile
from mmagic.registry import TRANSFORMS
from mmcv.transforms import BaseTransform

from ...flow import load_flow


@TRANSFORMS.register_module()
class LoadFrames(LoadImageFromFile):
    """Read images as uint8 RGB; errors name the file.

    Required keys: ``<key>_path``, a path or a list of paths.

    Added keys: ``<key>``, an array of shape (H, W, 3) or a list of them;
    ``<key>_channel_order``, ``'rgb'``; ``<key>_color_type`` and ``ori_<key>_shape`` as
    in MMagic's ``LoadImageFromFile``.

    Args:
        key (str): Kind of the frames: ``img``, ``gt`` or ``img_sharp``.
        backend_args (dict, optional): Arguments of MMEngine's file backend.
    """

    def __init__(self, key: str, backend_args: dict | None = None) -> None:
        super().__init__(key, channel_order='rgb', backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Add the frames to the sample.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file cannot be read as an image, or the frames differ in
                size.
        """
        results = super().transform(results)
        frames, paths = results[self.key], results[f'{self.key}_path']
        if isinstance(frames, list):
            for path, frame in zip(paths, frames, strict=True):
                if frame.shape != frames[0].shape:
                    raise ValueError(
                        f'frame {path} has (H, W) = {frame.shape[:2]}, but {paths[0]} '
                        f'has {frames[0].shape[:2]}; the frames of a clip must have '
                        'one size'
                    )
        return results

    def _load_image(self, filename: str) -> np.ndarray:
        try:
            image = super()._load_image(filename)
        except cv2.error:
            image = None
        if image is None:
            raise ValueError(
                f'frame {filename} cannot be read as an image; it is damaged or cut off'
            )
        return image


@TRANSFORMS.register_module()
class LoadFlow(BaseTransform):
    """Read the flow from the window's centre frame to every frame.

    Required keys: ``flow_path``, a list of paths, None where the flow is zero; ``img``,
    a list of LR frames of shape (H, W, 3).

    Added key: ``flow``, a list of arrays of shape (H, W, 2), float32, x then y, in
    pixels.
    """

    def transform(self, results: dict) -> dict:
        """Add the flow to the sample.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is not a flow of the size of the frames.
        """
        shape = results['img'][0].shape[:2]
        results['flow'] = [
            np.zeros((*shape, 2), np.float32)
            if path is None
            else load_flow(path, shape)
            for path in results['flow_path']
        ]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'
