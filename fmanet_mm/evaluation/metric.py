"""Metric for the test loop of MMagic."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

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


class _Frames(NamedTuple):
    """Names of the frames of a sample.

    Attributes:
        clip (str): Name of the clip.
        measured (list[str]): Frames that the sample is measured by.
        every (list[str]): All frames in the sample.
        is_clip (bool): Whether it is a clip of which all frames are measured.
    """

    clip: str
    measured: list[str]
    every: list[str]
    is_clip: bool

    @classmethod
    def of(cls, sample: Mapping) -> '_Frames':
        """Read the key and the paths of a sample."""
        clip, _, last = sample['key'].rpartition('/')
        every = [PurePath(path).stem for path in sample['img_path']]
        is_clip = last not in every
        return cls(clip, every if is_clip else [last], every, is_clip)


class TestSetMetric(BaseMetric):
    """A metric that MMagic's loops feed with the samples of the dataset."""

    # MMagic's loops group metrics by these: one pass over the test set.
    SAMPLER_MODE = 'normal'
    sample_model = 'orig'

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Look at the dataset before the first sample; here nothing is needed."""

    def get_metric_sampler(
        self, model: nn.Module, dataloader: DataLoader, metrics: list
    ) -> DataLoader:
        """Use the loader of the dataset; see MMagic's ``Evaluator``."""
        return dataloader


@METRICS.register_module()
class VSRDBMetric(TestSetMetric):
    """Measure restored frames against sharp ones by a protocol, clip by clip.

    Of a window, the centre frame is measured; of a clip whose frames are all restored,
    every frame. The ``meta_keys`` of the samples include ``key``, ``'<clip>/<frame>'``
    or ``'<clip>/<first frame>-<last frame>'``, and ``img_path``, the paths of all
    frames, as :class:`VSRDBDataset` and :class:`ClipSamples` give them. Frames may
    arrive in any order, from several processes and more than once. With
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
        motion_key (str, optional): Key of the frames in which motion is measured, such
            as ``'gt_img'``, the sharp HR frames, where blurry LR ones are the target.
            By default that of the target.
        collect_device (str): See MMEngine's ``BaseMetric``.
        prefix (str, optional): See MMEngine's ``BaseMetric``.

    Raises:
        FileNotFoundError: If weights of LPIPS or of the flow estimator are missing.
        ValueError: If the protocol or a measure is unknown.
    """

    def __init__(
        self,
        protocol: str = 'published',
        measures: Sequence[str] | None = None,
        motion: dict | None = MOTION_ESTIMATOR,
        lpips_net: str = 'alex',
        gt_key: str = 'gt_img',
        motion_key: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.protocol = get_protocol(protocol)
        self.motion = motion
        self.gt_key = gt_key
        self.motion_key = motion_key
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

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures taken."""
        return self._measures.names

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

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Measure the frames of a batch.

        Raises:
            ValueError: If a prediction is not a frame of its target's size, or holds
                values that are not finite.
        """
        for sample in data_samples:
            key = sample['key']
            frames = _Frames.of(sample)
            places = self._clips[frames.clip]
            measured = self._measured.setdefault(frames.clip, ClipMeasurement())
            try:
                for index, name in enumerate(frames.measured):
                    if name in places:
                        images = self._read_images(sample, frames, index)
                        measured.add(places[name], *images)
            except ValueError as error:
                raise ValueError(f'{key} cannot be measured: {error}') from error
            if len(measured.values) == len(places):
                measured.finish()

    def _read_images(
        self, sample: Mapping, frames: '_Frames', index: int
    ) -> tuple[np.ndarray, np.ndarray, Measures, np.ndarray | None]:
        """Arguments of :meth:`ClipMeasurement.add` for a frame of a sample."""
        images = {}
        for key in dict.fromkeys(('pred_img', self.gt_key, self.motion_key)):
            if key is None:
                continue
            image = (sample['output'] if key == 'pred_img' else sample)[key]
            if frames.is_clip:
                if image.ndim != 4 or len(image) != len(frames.every):
                    raise ValueError(
                        f'{key} must be the {len(frames.every)} frames of the clip, '
                        f'(T, 3, H, W), got {tuple(image.shape)}'
                    )
                image = image[index]
            images[key] = _to_image(key, image)
        return (
            images['pred_img'],
            images[self.gt_key],
            self._measures,
            images.get(self.motion_key),
        )

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
    """Names of the frames to measure and of all frames in the samples, by clip."""
    clips = {}
    # Naming the frames of synthetic samples takes no rendering.
    describe = getattr(dataset, 'list_frames', dataset.get_data_info)
    for index in range(len(dataset)):
        info = describe(index)
        of_sample = _Frames.of(info)
        measured, frames = clips.setdefault(of_sample.clip, (set(), set()))
        if not measured.isdisjoint(of_sample.measured):
            raise ValueError(
                f'the dataset has two samples with the key {info["key"]}, or with '
                'frames of it; test sets with clips of the same names need separate '
                'evaluators, and samples of a clip must not overlap'
            )
        measured.update(of_sample.measured)
        frames.update(of_sample.every)
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
