"""Measures of frames and of pairs of consecutive frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmagic.registry import MODELS
from torch import Tensor

from ..utils.quality import psnr, ssim

FRAME_MEASURES = ('PSNR', 'SSIM', 'PSNR-Y', 'SSIM-Y', 'LPIPS', 'NIQE')
"""Names of the measures of one frame."""

PAIR_MEASURES = ('tOF',)
"""Names of the measures of a pair of consecutive frames."""

MOTION_ESTIMATOR = dict(type='DISFlowEstimator', preset='medium')
"""Default estimator of motion: OpenCV's DIS measures large motion without weights.

The paper uses RAFT.
"""

_TOF_MULTIPLE, _TOF_MARGIN = 32, 8
_NIQE_BLOCK = 96
# pyramid scale, levels, window, iterations, neighbourhood, its sigma, flags
_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)
# ITU-R BT.601, limited range: 16 to 235.
_LUMA_WEIGHTS, _LUMA_OFFSET = np.array([65.481, 128.553, 24.966]) / 255, 16
_LPIPS_WEIGHTS = dict(
    alex='AlexNet_Weights.IMAGENET1K_V1',
    squeeze='SqueezeNet1_1_Weights.IMAGENET1K_V1',
    vgg='VGG16_Weights.IMAGENET1K_V1',
)


def to_luma(image: np.ndarray) -> np.ndarray:
    """Luma Y' of ITU-R BT.601, as MATLAB's ``rgb2ycbcr`` gives it, not rounded.

    Args:
        image (np.ndarray): RGB image of shape (H, W, 3) in [0, 255].

    Returns:
        np.ndarray: Luma of shape (H, W, 1) in [16, 235], float64.
    """
    return (image @ _LUMA_WEIGHTS + _LUMA_OFFSET)[..., None]


def tof(
    outputs: tuple[np.ndarray, np.ndarray], targets: tuple[np.ndarray, np.ndarray]
) -> float:
    """Difference between the motion of the outputs and that of the targets.

    tOF is the mean end-point difference between two flows by OpenCV's Farneback method,
    one between the outputs and one between the targets. Frames are cropped at the
    centre to the largest multiples of 32 that leave a margin of at least 8 pixels.

    Args:
        outputs (tuple[np.ndarray]): Two consecutive grey frames of shape (H, W), uint8.
        targets (tuple[np.ndarray]): The ground truth.

    Returns:
        float: Pixels, 0 or more.

    Raises:
        ValueError: If the frames are smaller than 48 x 48.
    """
    inside = tuple(map(_tof_range, outputs[0].shape))
    if any(part.start == part.stop for part in inside):
        raise ValueError(
            f'tOF needs at least {_TOF_MULTIPLE + 2 * _TOF_MARGIN} pixels on each '
            f'side, got (H, W) = {outputs[0].shape}; remove tOF from the measures'
        )
    flows = [
        cv2.calcOpticalFlowFarneback(*pair, None, *_FARNEBACK)[inside]
        for pair in (outputs, targets)
    ]
    return float(np.linalg.norm(flows[0] - flows[1], axis=-1).mean())


def niqe(image: np.ndarray, border: int = 0) -> float:
    """Natural image quality evaluator of Mittal et al., by MMagic.

    It needs no ground truth: the statistics of the luma in blocks of 96 x 96 pixels are
    compared with those of pristine photos, whose parameters are the authors'.

    Args:
        image (np.ndarray): uint8 RGB image of shape (H, W, 3).
        border (int): Pixels to ignore on each side.

    Returns:
        float: 0 or more; smaller is better.

    Raises:
        ValueError: If there are fewer than two blocks.
    """
    from mmagic.evaluation.metrics.niqe import niqe as niqe_of_bgr

    height, width = (side - 2 * border for side in image.shape[:2])
    if (height // _NIQE_BLOCK) * (width // _NIQE_BLOCK) < 2:
        raise ValueError(
            f'NIQE needs two blocks of {_NIQE_BLOCK} x {_NIQE_BLOCK} pixels, got '
            f'(H, W) = {image.shape[:2]} with a border of {border}; remove NIQE from '
            'the measures'
        )
    return float(niqe_of_bgr(image[..., ::-1], border, convert_to='y'))


class LPIPS:
    """Learned perceptual distance of the ``lpips`` package, version 0.1.

    Args:
        net (str): ``'alex'``, the usual one, ``'vgg'`` or ``'squeeze'``.
        device (str): Device to compute on.

    Raises:
        FileNotFoundError: If the weights of the network, which are torchvision's, are
            not in torch's cache. Nothing is downloaded.
    """

    def __init__(self, net: str = 'alex', device: str = 'cpu') -> None:
        from lpips import LPIPS as Net

        self.check_weights(net)
        self._device = device
        self._net = Net(net=net, verbose=False).to(device)

    @staticmethod
    def check_weights(net: str = 'alex') -> None:
        """Raise a FileNotFoundError if the weights of a network are missing."""
        from torchvision.models import get_weight

        url = get_weight(_LPIPS_WEIGHTS[net]).url
        path = Path(torch.hub.get_dir(), 'checkpoints', Path(url).name)
        if not path.is_file():
            raise FileNotFoundError(
                f'LPIPS needs the weights {path}; download {url} and put it there, or '
                'set the environment variable TORCH_HOME to the folder above hub/'
            )

    @torch.no_grad()
    def __call__(self, output: np.ndarray, target: np.ndarray) -> float:
        """Compare two uint8 RGB images of shape (H, W, 3), borders included."""
        return self._net(self._to_tensor(output), self._to_tensor(target)).item()

    def _to_tensor(self, image: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
        return tensor.permute(2, 0, 1)[None] / 127.5 - 1


class KeptFrame(NamedTuple):
    """Parts of a frame that are kept until its neighbours arrive.

    Attributes:
        output (np.ndarray): Grey output of shape (H, W), uint8.
        target (np.ndarray): RGB target of shape (H, W, 3), uint8.
        scene (np.ndarray): RGB frame in which motion is measured, uint8; the target
            unless given.
    """

    output: np.ndarray
    target: np.ndarray
    scene: np.ndarray


class Measures:
    """A selection of measures and the networks that they need.

    Args:
        names (Sequence[str]): Out of ``PSNR``, ``SSIM`` (RGB), ``PSNR-Y``, ``SSIM-Y``
            (luma), ``LPIPS``, ``NIQE`` and ``tOF``.
        border (int): Pixels that PSNR and SSIM ignore on each side.
        motion (dict, optional): Config of a :class:`fmanet_mm.flow.FlowEstimator` that
            measures the motion between consecutive targets. By default motion is not
            measured.
        lpips_net (str): See :class:`LPIPS`.
        device (str): Device of LPIPS and of the flow estimator.

    Raises:
        FileNotFoundError: If weights are missing.
        ValueError: If a name is unknown, or there are none.
    """

    def __init__(
        self,
        names: Sequence[str],
        border: int = 0,
        motion: dict | None = None,
        lpips_net: str = 'alex',
        device: str = 'cpu',
    ) -> None:
        known = FRAME_MEASURES + PAIR_MEASURES
        if not names or not set(names) <= set(known):
            raise ValueError(f'measures must be from {known}, got {tuple(names)}')
        self.names = tuple(names)
        self.border = border
        self.needs_pairs = motion is not None or 'tOF' in names
        self._lpips = LPIPS(lpips_net, device) if 'LPIPS' in names else None
        self._motion = MODELS.build(motion).to(device) if motion else None

    def of_frame(self, output: np.ndarray, target: np.ndarray) -> dict[str, float]:
        """Measure a frame.

        Args:
            output (np.ndarray): uint8 RGB image of shape (H, W, 3).
            target (np.ndarray): The ground truth.

        Returns:
            dict[str, float]: Values by name.
        """
        values = {}
        for suffix, convert in (('', np.asarray), ('-Y', to_luma)):
            functions = {f'PSNR{suffix}': psnr, f'SSIM{suffix}': ssim}
            wanted = {name: functions[name] for name in functions if name in self.names}
            if wanted:
                pair = convert(output), convert(target)
            for name, function in wanted.items():
                values[name] = function(*pair, self.border)
        if self._lpips:
            values['LPIPS'] = self._lpips(output, target)
        if 'NIQE' in self.names:
            values['NIQE'] = niqe(output, self.border)
        return values

    def of_pair(self, first: KeptFrame, second: KeptFrame) -> dict[str, float]:
        """Measure two consecutive frames.

        Returns:
            dict[str, float]: ``tOF``, if selected, and ``motion``: the mean absolute
            flow between the scenes over pixels and components.
        """
        values = {}
        if 'tOF' in self.names:
            targets = tuple(map(_to_grey, (first.target, second.target)))
            values['tOF'] = tof((first.output, second.output), targets)
        if self._motion:
            flow = self._motion.estimate_arrays([first.scene], [second.scene])
            values['motion'] = float(np.abs(flow).mean())
        return values

    @staticmethod
    def keep(
        output: np.ndarray, target: np.ndarray, scene: np.ndarray | None = None
    ) -> KeptFrame:
        """Keep the parts of a frame that :meth:`of_pair` needs."""
        return KeptFrame(_to_grey(output), target, target if scene is None else scene)


def _to_grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _tof_range(side: int) -> slice:
    length = max(side - 2 * _TOF_MARGIN, 0) // _TOF_MULTIPLE * _TOF_MULTIPLE
    start = (side - length) // 2
    return slice(start, start + length)
