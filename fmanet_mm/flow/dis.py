"""OpenCV's DIS flow, which needs no weights."""

import cv2
import numpy as np
import torch
from mmagic.registry import MODELS
from torch import Tensor

from .base import FlowEstimator

PRESETS = {
    'ultrafast': cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    'fast': cv2.DISOPTICAL_FLOW_PRESET_FAST,
    'medium': cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}


@MODELS.register_module()
class DISFlowEstimator(FlowEstimator):
    """Dense inverse search on grey frames, on the CPU, without weights.

    Args:
        preset (str): ``'ultrafast'``, ``'fast'`` or ``'medium'``, from fastest to
            most accurate.

    Raises:
        ValueError: If the preset is not one of these.
    """

    def __init__(self, preset: str = 'medium') -> None:
        super().__init__()
        if preset not in PRESETS:
            raise ValueError(f'preset must be one of {[*PRESETS]}, got {preset!r}')
        self.preset = preset

    def estimate(self, source: Tensor, target: Tensor) -> Tensor:
        """Estimate pair by pair; see :meth:`FlowEstimator.forward`.

        Raises:
            ValueError: If the frames are too small for DIS.
        """
        dis = cv2.DISOpticalFlow_create(PRESETS[self.preset])
        try:
            flows = [
                dis.calc(first, second, None)
                for first, second in zip(
                    _to_grey(source), _to_grey(target), strict=True
                )
            ]
        except cv2.error as error:
            height, width = source.shape[-2:]
            raise ValueError(
                f'OpenCV DIS does not support frames of {width} x {height} px; use '
                f'at least 12 x 12 ({error})'
            ) from error
        flow = torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)
        return flow.contiguous().to(source.device)


def _to_grey(frames: Tensor) -> list[np.ndarray]:
    """Turn (N, 3, H, W) RGB in [0, 1] into N uint8 arrays of shape (H, W)."""
    frames = (frames.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames.cpu().numpy()]
