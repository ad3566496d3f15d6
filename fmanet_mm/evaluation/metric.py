"""Metric for the test loop of MMagic."""

from collections.abc import Sequence

import numpy as np
import torch
from mmagic.registry import METRICS
from mmengine.dist import get_world_size
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .clip import ClipMeasurement
from .measures import MOTION_ESTIMATOR, Measures
from .protocol import get_protocol
from .report import Report


@METRICS.register_module()
class VSRDBMetric(BaseMetric):
    """Measure restored frames against sharp ones by a protocol, clip by clip.

    The ``meta_keys`` of the samples include ``key``, ``'<clip>/<frame>'``, and
    ``img_path``, the paths of the window's frames, as :class:`VSRDBDataset` gives them.
    Frames may arrive in any order, from several processes and more than once. With
    :class:`ContiguousSampler` each process gets consecutive frames, so that hardly any
    frame is kept for a neighbour.

    The metric logs a table and returns the means over all frames; ``report`` has all
    values, and :class:`EvaluationReportHook` writes them to files.

    Args:
        protocol (str): ``'published'``: uint8, without the first and the last frame of
            a clip and a border of 4 pixels, PSNR and SSIM on RGB, tOF; ``'full'``: all
            frames and pixels, also PSNR and SSIM of the luma.
        measures (Sequence[str], optional): Measures to take instead of the protocol's;
            see :class:`Measures`.
        motion (dict, optional): Config of the flow estimator that sorts frames by
            motion; None omits this. The paper uses RAFT.
        lpips_net (str): See :class:`LPIPS`.
        gt_key (str): Key of the target in the data samples.
        collect_device (str): See MMEngine's ``BaseMetric``.
        prefix (str, optional): See MMEngine's ``BaseMetric``.

    Raises:
        FileNotFoundError: If weights of LPIPS or of the flow estimator are missing.
        ValueError: If the protocol or a measure is unknown.
    """

    # MMagic's loops group metrics by these: one pass over the test set.
    SAMPLER_MODE = 'normal'
    sample_model = 'orig'

    def __init__(
        self,
        protocol: str = 'published',
        measures: Sequence[str] | None = None,
        motion: dict | None = MOTION_ESTIMATOR,
        lpips_net: str = 'alex',
        gt_key: str = 'gt_img',
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.protocol = get_protocol(protocol)
        self.motion = motion
        self.gt_key = gt_key
        self.report = None
        self._measures = Measures(
            measures or self.protocol.measures,
            self.protocol.border,
            motion,
            lpips_net,
            'cuda' if torch.cuda.is_available() else 'cpu',
        )
        # Places of the frames to measure, by clip, then by name.
        self._clips: dict[str, dict[str, int]] = {}
        self._measured: dict[str, ClipMeasurement] = {}

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """List the frames of the dataset.

        Raises:
            ValueError: If it lacks frames that the protocol measures, or has two
                samples of one key.
        """
        found = _find_frames(dataloader.dataset)
        self._clips = {}
        for clip, (centres, frames) in found.items():
            places = {frame: place for place, frame in enumerate(sorted(frames))}
            places = dict(self.protocol.select([*places.items()]))
            missing = sorted(places.keys() - centres)
            if missing:
                raise ValueError(
                    f'protocol {self.protocol.name} measures {len(places)} of the '
                    f'{len(frames)} frames of clip {clip}, but the dataset gives no '
                    f'sample for {len(missing)} of them, the first is {missing[0]}; '
                    "set border='replicate' in the dataset"
                )
            if not places:
                raise ValueError(
                    f'protocol {self.protocol.name} measures none of the {len(frames)} '
                    f'frames of clip {clip}; remove it from the annotation file'
                )
            self._clips[clip] = places

    def get_metric_sampler(
        self, model: nn.Module, dataloader: DataLoader, metrics: list
    ) -> DataLoader:
        """Use the loader of the dataset; see MMagic's ``Evaluator``."""
        return dataloader

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Measure the frames of a batch.

        Raises:
            ValueError: If a prediction is not a frame of its target's size, or holds
                values that are not finite.
        """
        for sample in data_samples:
            key = sample['key']
            clip, _, frame = key.rpartition('/')
            places = self._clips[clip]
            if frame not in places:
                continue
            measured = self._measured.setdefault(clip, ClipMeasurement())
            try:
                measured.add(
                    places[frame],
                    _to_image('pred_img', sample['output']['pred_img']),
                    _to_image(self.gt_key, sample[self.gt_key]),
                    self._measures,
                )
            except ValueError as error:
                raise ValueError(f'{key} cannot be measured: {error}') from error
            if len(measured.values) == len(places):
                measured.finish()

    def evaluate(self, size: int | None = None) -> dict:
        """Combine the processes; see :meth:`compute_metrics`.

        Args:
            size (int, optional): Not used; repeated frames count once.
        """
        self.results = [self._measured]
        self._measured = {}
        return super().evaluate(get_world_size())

    def compute_metrics(self, results: list[dict[str, ClipMeasurement]]) -> dict:
        """Build the report.

        Args:
            results (list[dict[str, ClipMeasurement]]): By process, by clip.

        Returns:
            dict: Means over the frames of all clips, by measure.

        Raises:
            ValueError: If frames are missing.
        """
        frames = {}
        for clip, places in self._clips.items():
            measured = ClipMeasurement()
            for part in results:
                if clip in part:
                    measured.merge(part[clip], self._measures)
            values = {
                frame: measured.values.get(place) for frame, place in places.items()
            }
            missing = [frame for frame in values if values[frame] is None]
            if missing:
                raise ValueError(
                    f'{len(missing)} of the {len(places)} frames of clip {clip} were '
                    f'not tested, the first is {missing[0]}'
                )
            frames[clip] = values
        motion = self.motion['type'] if self.motion else None
        self.report = Report(
            self.prefix or 'test', self.protocol, self._measures.names, frames, motion
        )
        print_log(f'\n{self.report.table()}', logger='current')
        overall = self.report.overall()
        return {name: overall[name] for name in self._measures.names}


def _find_frames(dataset) -> dict[str, tuple[set[str], set[str]]]:
    """Names of the centre frames and of all frames in the windows, by clip."""
    clips = {}
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        clip, _, centre = info['key'].rpartition('/')
        centres, frames = clips.setdefault(clip, (set(), set()))
        if centre in centres:
            raise ValueError(
                f'the dataset has two samples with the key {info["key"]}; test sets '
                'with clips of the same names need separate evaluators'
            )
        centres.add(centre)
        frames.update(
            path.rpartition('/')[2].rpartition('.')[0] for path in info['img_path']
        )
    return clips


def _to_image(key: str, image: Tensor) -> np.ndarray:
    """Convert MMagic's BGR (3, H, W) in [0, 255] to uint8 RGB (H, W, 3)."""
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f'{key} must be one frame (3, H, W), got {tuple(image.shape)}; set '
            'num_output_frames=1 in the dataset'
        )
    if not torch.isfinite(image).all():
        raise ValueError(f'{key} holds values that are NaN or infinite')
    image = image.float().clamp(0, 255).round().byte().flip(0)
    return image.permute(1, 2, 0).contiguous().cpu().numpy()
