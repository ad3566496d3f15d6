"""Flow estimated while loading instead of read from files."""

import numpy as np
from mmagic.registry import MODELS, TRANSFORMS
from mmcv.transforms import BaseTransform


@TRANSFORMS.register_module()
class EstimateFlow(BaseTransform):
    """Estimate the flow from the window's centre frame to every other frame.

    In the pipeline it replaces the loading of flow files: after the frames are read and
    before any crop or flip. Each worker builds the estimator when first needed.

    Required keys: ``<key>``, a list of T (odd) uint8 RGB frames of shape (H, W, 3).
    Added key: ``flow``, a list of T arrays of shape (H, W, 2), float32, x then y, in
    pixels; zero at the centre.

    Args:
        estimator (dict): Config of a :class:`fmanet_mm.flow.FlowEstimator`.
        key (str): Key of the sharp LR frames.
        device (str): Device of the estimator; in loader workers, the CPU.
    """

    def __init__(
        self, estimator: dict, key: str = 'img_sharp', device: str = 'cpu'
    ) -> None:
        self.estimator = estimator
        self.key = key
        self.device = device
        self._net = None

    def transform(self, results: dict) -> dict:
        """Add the flow to the sample.

        Raises:
            ValueError: If the frames are not as required.
        """
        frames = results[self.key]
        self._check_frames(frames, results)
        centre = len(frames) // 2
        others = [index for index in range(len(frames)) if index != centre]

        flow = [np.zeros((*frames[centre].shape[:2], 2), np.float32) for _ in frames]
        if others:
            if self._net is None:
                self._net = MODELS.build(self.estimator).to(self.device)
            estimated = self._net.estimate_arrays(
                [frames[centre]] * len(others), [frames[index] for index in others]
            )
            for index, value in zip(others, estimated, strict=True):
                flow[index] = value
        results['flow'] = flow
        return results

    def _check_frames(self, frames: list[np.ndarray], results: dict) -> None:
        name = results.get('key', 'sample')
        if not isinstance(frames, list) or len(frames) % 2 == 0:
            raise ValueError(
                f"'{self.key}' of {name} must be a list of an odd number of frames"
            )
        found = {(frame.shape, str(frame.dtype)) for frame in frames}
        shape, dtype = next(iter(found))
        if len(found) > 1 or len(shape) != 3 or shape[2] != 3 or dtype != 'uint8':
            raise ValueError(
                f"'{self.key}' of {name} must hold uint8 frames of one shape "
                f'(H, W, 3), got {sorted(found)}'
            )
        order = results.get(f'{self.key}_channel_order', 'rgb')
        if order != 'rgb':
            raise ValueError(
                f"'{self.key}' of {name} must be read with channel_order='rgb', got "
                f'{order!r}'
            )

    def __getstate__(self) -> dict:
        """Omit the network: each worker builds its own."""
        return {**self.__dict__, '_net': None}

    def __repr__(self) -> str:
        return (
            f'{self.__class__.__name__}(estimator={self.estimator}, '
            f'key={self.key!r}, device={self.device!r})'
        )
