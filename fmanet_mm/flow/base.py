"""The interface of all flow estimators."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor


class FlowEstimator(BaseModule, metaclass=ABCMeta):
    """Estimator of optical flow, which supplies targets and is never trained.

    Subclasses implement :meth:`estimate`.
    """

    def train(self, mode: bool = True) -> 'FlowEstimator':
        """Stay in evaluation mode, even inside a model in training."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Estimate the flow from ``source`` to ``target``.

        The pixel (x, y) of the source is found in the target at (x, y) + flow(x, y).

        Args:
            source (Tensor): RGB frames of shape (N, 3, H, W) in [0, 1].
            target (Tensor): RGB frames of the same shape.

        Returns:
            Tensor: Flow of shape (N, 2, H, W), float32, x then y, in pixels.

        Raises:
            ValueError: If the shapes differ or are not (N, 3, H, W), or if the
                frames are not floats.
        """
        if source.shape != target.shape or source.ndim != 4 or source.shape[1] != 3:
            raise ValueError(
                'source and target must both have shape (N, 3, H, W), got '
                f'{tuple(source.shape)} and {tuple(target.shape)}'
            )
        if not (source.is_floating_point() and target.is_floating_point()):
            raise ValueError(
                'source and target must be floats in [0, 1], got '
                f'{source.dtype} and {target.dtype}'
            )
        return self.estimate(source.float(), target.float())

    def estimate_arrays(
        self, sources: Sequence[np.ndarray], targets: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Estimate the flow between frames as read from image files.

        Args:
            sources (Sequence[np.ndarray]): N uint8 RGB frames of shape (H, W, 3).
            targets (Sequence[np.ndarray]): N frames of the same shape.

        Returns:
            np.ndarray: Flow of shape (N, H, W, 2), float32, x then y, in pixels.
        """
        device = next((value.device for value in self.parameters()), 'cpu')
        source, target = (
            torch.from_numpy(np.stack(frames)).to(device).permute(0, 3, 1, 2) / 255
            for frames in (sources, targets)
        )
        return self(source, target).permute(0, 2, 3, 1).cpu().numpy()

    @abstractmethod
    def estimate(self, source: Tensor, target: Tensor) -> Tensor:
        """Estimate the flow of checked float32 input; see :meth:`forward`."""
