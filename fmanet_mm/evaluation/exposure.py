"""How well exposures are distinguished, and what a network does with them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import PurePosixPath

import numpy as np
import torch
from mmagic.registry import METRICS
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..utils.exposure import EXPOSURE_LEVELS, level_name
from ..utils.quality import psnr
from .metric import TestSetMetric

NUM_NEIGHBOURS = 5
"""Nearest neighbours that vote for a label."""

NUM_FOLDS = 5
"""Parts into which samples are divided; each is classified by the others."""

_LEVEL_FOLDERS = {level_name(level) for level in range(1, EXPOSURE_LEVELS + 1)}
_BORDER = 4


@METRICS.register_module()
class ExposureKNNAccuracy(TestSetMetric):
    """Share of frames whose exposure their nearest neighbours name, in per cent.

    Frames are classified by the 5 most similar vectors (cosine) of the other folds; of
    levels with equal votes, the one whose votes are most similar wins. The paper
    reports 92.0 % for 100 frames of each level.

    The data samples have ``embedding``, (T, d), and ``exposure``, (T,), and in their
    ``meta_keys`` ``key``. The confusion matrix is logged, and kept as ``confusion``.

    Args:
        by_scene (bool): Keep all frames of a scene, at any level, in one fold, so that
            a frame is not classified by its likes. False takes frames at random places
            in turn, as may be meant by the paper, and gives higher values.
        collect_device (str): See MMEngine's ``BaseMetric``.
        prefix (str, optional): See MMEngine's ``BaseMetric``.

    Attributes:
        confusion (np.ndarray, optional): Share of each named label (columns) for each
            true label (rows), in per cent.
    """

    default_prefix = 'kNN'

    def __init__(
        self,
        by_scene: bool = True,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.by_scene = by_scene
        self.confusion: np.ndarray | None = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the vectors of a batch.

        Raises:
            ValueError: If a label is missing.
        """
        for sample in data_samples:
            key = sample['key']
            if 'exposure' not in sample:
                raise ValueError(
                    f"{key} has no 'exposure' to compare with; use a dataset with "
                    'labels, such as REDSMEDataset'
                )
            vectors = sample['embedding'].float().cpu().numpy()
            self.results.append((key, vectors, sample['exposure'].cpu().numpy()))

    def evaluate(self, size: int | None = None) -> dict:
        """Combine the processes; see :meth:`compute_metrics`.

        Args:
            size (int, optional): Not used; repeated samples count once.
        """
        return super().evaluate(get_world_size() * len(self.results))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Classify all frames.

        Args:
            results (list[tuple]): Key, vectors (T, d) and labels (T,) by sample.

        Returns:
            dict[str, float]: ``accuracy`` in per cent.

        Raises:
            ValueError: If all frames are of one scene.
        """
        samples = {key: rest for key, *rest in sorted(results, key=itemgetter(0))}
        vectors = np.concatenate([vectors for vectors, _ in samples.values()])
        labels = np.concatenate([labels for _, labels in samples.values()])
        folds = np.arange(len(labels))
        if self.by_scene:
            scenes = [
                _scene_of(key) for key, (_, part) in samples.items() for _ in part
            ]
            folds = np.unique(scenes, return_inverse=True)[1]
        named = classify(vectors, labels, folds % NUM_FOLDS)
        known = np.unique(labels)
        self.confusion = np.array(
            [
                [100 * np.mean(named[labels == true] == label) for label in known]
                for true in known
            ]
        )
        rows = [
            f'{true}: ' + ' '.join(f'{share:5.1f}' for share in row)
            for true, row in zip(known, self.confusion, strict=True)
        ]
        print_log(
            'Exposure named by nearest neighbours, in per cent, by true level:\n'
            + '\n'.join(rows),
            logger='current',
        )
        return dict(accuracy=100 * float(np.mean(named == labels)))


def classify(vectors: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Name the label of each vector by its nearest neighbours in the other folds.

    Args:
        vectors (np.ndarray): (B, d), of any length but 0.
        labels (np.ndarray): (B,), integers.
        folds (np.ndarray): (B,), integers.

    Returns:
        np.ndarray: Named labels, (B,).

    Raises:
        ValueError: If there are less than two folds.
    """
    if len(np.unique(folds)) < 2:
        raise ValueError(
            f'nearest neighbours need samples of at least two scenes, got '
            f'{len(labels)} of one; use a larger set, or by_scene=False'
        )
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    known, index = np.unique(labels, return_inverse=True)
    named = np.empty(len(labels), int)
    for fold in np.unique(folds):
        inside = folds == fold
        similarity = unit[inside] @ unit[~inside].T
        nearest = np.argsort(-similarity, axis=1, kind='stable')[:, :NUM_NEIGHBOURS]
        votes = np.zeros((len(nearest), len(known)))
        for column in nearest.T:
            rows = np.arange(len(column))
            # Similarity decides only between equal numbers of votes.
            weight = 1 + similarity[rows, column] / (4 * NUM_NEIGHBOURS)
            votes[rows, index[~inside][column]] += weight
        named[inside] = votes.argmax(axis=1)
    return known[named]


def kernel_spread(kernels: Tensor) -> Tensor:
    """Variance of the positions that degradation kernels read, along both axes.

    Args:
        kernels (Tensor): Kernels before softmax, (..., 3, k^2, H, W): of the previous
            frame, the frame itself and the following one, normalised together.

    Returns:
        Tensor: Mean over pixels of the trace of the covariance, (...), in HR pixels
        squared.
    """
    size = int(kernels.size(-3) ** 0.5)
    weights = kernels.flatten(-4, -3).softmax(-3).unflatten(-3, (3, size, size))
    weights = weights.sum(-5)
    positions = torch.arange(size, device=kernels.device, dtype=weights.dtype)
    spread = torch.zeros((), device=kernels.device)
    for axis in (-3, -4):
        share = weights.sum(axis).movedim(-3, -1)
        mean = share @ positions
        spread = spread + (share @ positions**2 - mean**2).mean(dim=(-2, -1))
    return spread


@dataclass
class ExposureSwap:
    """What a network does when it is given another exposure.

    Attributes:
        spread (dict[tuple[int, int], float]): :func:`kernel_spread` by the level of
            the frames and the level that the network is given.
        psnr (dict[tuple[int, int], float]): PSNR of the restored frames, in dB,
            likewise; empty for a network without NetR.
    """

    spread: dict[tuple[int, int], float] = field(default_factory=dict)
    psnr: dict[tuple[int, int], float] = field(default_factory=dict)

    def ratios(self) -> tuple[float, float]:
        """How far the spread follows the exposure that the network is given.

        Returns:
            tuple[float]: Spread of the longest exposure over that with the shortest
            one given, and of the shortest with the longest given over that of the
            shortest. Both are above 1 for a network that follows; in the paper they are
            3.1 and 3.4.
        """
        levels = sorted({level for level, _ in self.spread})
        short, long = levels[0], levels[-1]
        return (
            self.spread[long, long] / self.spread[long, short],
            self.spread[short, long] / self.spread[short, short],
        )

    def table(self) -> str:
        """All values in Markdown."""
        levels = sorted({level for level, _ in self.spread})
        parts = [('kernel spread (HR pixels squared)', self.spread, 2)]
        if self.psnr:
            parts.append(('PSNR (dB)', self.psnr, 3))
        lines = []
        for title, values, digits in parts:
            names = ' | '.join(f'given {level_name(level)}' for level in levels)
            lines += [f'| {title} | {names} |', f'|---{"|---" * len(levels)}|']
            for level in levels:
                row = ' | '.join(
                    f'{values[level, given]:.{digits}f}' for given in levels
                )
                lines.append(f'| frames {level_name(level)} | {row} |')
            lines.append('')
        shortened, lengthened = self.ratios()
        lines.append(
            'Given the shortest exposure instead of the longest, it divides the spread '
            f'by {shortened:.2f}; given the longest instead of the shortest, it '
            f'multiplies the spread by {lengthened:.2f}.'
        )
        return '\n'.join(lines) + '\n'


@torch.no_grad()
def swap_exposure(
    model: nn.Module, datasets: Mapping[int, Dataset], indices: Iterable[int]
) -> ExposureSwap:
    """Restore clips at each level with the exposure vectors of every level.

    Args:
        model (nn.Module): :class:`FMANetPPStage1` or :class:`FMANetPP`, in evaluation
            mode.
        datasets (Mapping[int, Dataset]): By level, clips of the same scenes in the same
            order, packed by :class:`PackClip`.
        indices (Iterable[int]): The clips to take.

    Returns:
        ExposureSwap: Means over the clips.

    Raises:
        ValueError: If the model has no exposure extractor, or the datasets hold
            different scenes.
    """
    if model.exposure_net is None:
        raise ValueError(
            f'{type(model).__name__} has no exposure extractor, so nothing can be '
            'swapped; use a config with exposure'
        )
    device = next(model.parameters()).device
    restores = hasattr(model, 'net_r')
    values: dict[str, dict[tuple[int, int], list[float]]] = dict(spread={}, psnr={})
    for index in indices:
        samples = {level: dataset[index] for level, dataset in datasets.items()}
        scenes = {_scene_of(s['data_samples'].key) for s in samples.values()}
        if len(scenes) > 1:
            raise ValueError(
                f'sample {index} must show the same scene at all levels, got '
                f'{", ".join(sorted(scenes))}'
            )
        clips = {
            level: sample['inputs'][None].to(device).float() / 255
            for level, sample in samples.items()
        }
        given = {level: model.embed(clip) for level, clip in clips.items()}
        for level, clip in clips.items():
            target = samples[level]['data_samples'].gt_img
            for other, exposure in given.items():
                pair = level, other
                degradation = model.net_d(clip, exposure)
                kernels = model.net_d.kernels(degradation.kernel_feature)
                spread = kernel_spread(kernels).mean().item()
                values['spread'].setdefault(pair, []).append(spread)
                if restores:
                    restored = model.forward_tensor(clip, exposure)[0]
                    values['psnr'].setdefault(pair, []).append(_psnr(restored, target))
    return ExposureSwap(
        **{
            name: {pair: float(np.mean(found)) for pair, found in pairs.items()}
            for name, pairs in values.items()
        }
    )


def _psnr(restored: Tensor, target: Tensor) -> float:
    """Mean PSNR of frames (T, 3, H, W), in [0, 1] and of uint8."""
    images = (restored.clamp(0, 1) * 255).round().byte().cpu(), target
    pairs = zip(*(image.permute(0, 2, 3, 1).numpy() for image in images), strict=True)
    return float(np.mean([psnr(*pair, _BORDER) for pair in pairs]))


def _scene_of(key: str) -> str:
    """Scene of a sample, which is the same at every level."""
    parts = PurePosixPath(key).parts
    return '/'.join(part for part in parts[:-1] if part not in _LEVEL_FOLDERS)
