"""Building a set with several exposures from video of a high frame rate."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..utils.degradation import average_first, bicubic_downsample, crop_to_multiple
from ..utils.exposure import EXPOSURE_LEVELS, GT_TIME, level_name
from .video_to_vsrdb import Clip, Source, VSRDBRecipe


@dataclass(frozen=True)
class MultiExposureRecipe(VSRDBRecipe):
    """Recipe of REDS-ME (arXiv 2512.04390, Section S2), for ``convert_videos``.

    Each frame of the set takes an interval of N source frames, its frame time. At level
    L, the first L/5 of them are averaged, so that all exposures begin together. The
    sharp frame is one of the source frames, the same for all levels. From 120 to 24
    frames per second, as REDS is published: ``MultiExposureRecipe(sub_frames=5)``; from
    frames interpolated to 1920 per second, as in the paper: ``sub_frames=80``.

    Args:
        sub_frames (int): Number of source frames in an interval, N; a multiple of 5.
        stride (int, optional): N, the default.
        gt_offset (int, optional): Source frame of the interval, from 0, that is the
            sharp frame. The paper does not say which. The default, 0.4 N, is that of
            REDS, the third of five frames. A sharp frame that depended on the level
            could not be shared by clips whose level changes.
        whole_sources (bool): Make one clip of each source, of the same name, in the
            split ``train``, as for the clips of REDS. By default sources are cut.
        linear_light (bool): See :class:`VSRDBRecipe`. The paper averages pixel values.
        scale (int): See :class:`VSRDBRecipe`.
        downscale (int): See :class:`VSRDBRecipe`.
        clip_length (int): See :class:`VSRDBRecipe`.
        min_clip_length (int): See :class:`VSRDBRecipe`.
        held_out (float): See :class:`VSRDBRecipe`.

    Raises:
        ValueError: If a value is out of range, or ``held_out`` is to divide whole
            sources.
    """

    gt_offset: int | None = None
    whole_sources: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gt_offset is None:
            object.__setattr__(self, 'gt_offset', round(GT_TIME * self.sub_frames))
        if not 0 <= self.gt_offset < self.sub_frames:
            raise ValueError(
                f'gt_offset must be a frame of the interval, from 0 to '
                f'{self.sub_frames - 1}, got {self.gt_offset}'
            )
        if self.whole_sources and self.held_out:
            raise ValueError(
                'held_out divides sources, which whole_sources forbids; put the '
                'sources to hold out into a set of their own'
            )

    def check_sub_frames(self) -> None:
        """Raise a ValueError unless intervals have five parts and no gaps."""
        if self.sub_frames < 1 or self.sub_frames % EXPOSURE_LEVELS:
            raise ValueError(
                f'sub_frames must be a multiple of {EXPOSURE_LEVELS}, so that level 1 '
                f'has frames of its own, got {self.sub_frames}'
            )
        if self.stride != self.sub_frames:
            raise ValueError(
                f'stride must be sub_frames ({self.sub_frames}), the frame time of '
                f'which the levels are parts, got {self.stride}'
            )

    def plan(self, source: Source) -> list[Clip]:
        """Cut a source into clips; see :class:`VSRDBRecipe`."""
        if not self.whole_sources:
            return super().plan(source)
        length = source.num_frames // self.sub_frames
        if length < self.min_clip_length:
            raise ValueError(
                f'{source.name} is too short: its {source.num_frames} frames make '
                f'{length} intervals of {self.sub_frames}, fewer than the '
                f'{self.min_clip_length} of min_clip_length; remove it'
            )
        return [Clip(source.name, 'train', 0, length)]

    def folders(self, clip: Clip) -> tuple[str, ...]:
        """Folders of a clip: sharp HR, sharp LR, and blurry LR frames by level."""
        scale = f'X{self.scale}'
        blurry = f'{clip.split}_blur_bicubic/{scale}'
        return (
            f'{clip.split}_sharp/{clip.name}',
            f'{clip.split}_sharp_bicubic/{scale}/{clip.name}',
            *(
                f'{blurry}/{level_name(level)}/{clip.name}'
                for level in range(1, EXPOSURE_LEVELS + 1)
            ),
        )

    def apply(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
        """Make the frames of a clip; one source frame is kept in memory.

        Args:
            frames (Iterable[np.ndarray]): The clip's source frames, uint8 RGB of shape
                (H, W, 3).

        Yields:
            tuple[np.ndarray]: Sharp HR and sharp LR frame, and the blurry LR frames of
            all levels, uint8 RGB.
        """
        step = self.sub_frames // EXPOSURE_LEVELS
        counts = range(step, self.sub_frames + 1, step)
        frames = (self._prepare(frame) for frame in frames)
        while True:
            sharp: list[np.ndarray] = []
            interval = self._keep_sharp(islice(frames, self.sub_frames), sharp)
            blurry = [
                bicubic_downsample(image, self.scale)
                for image in average_first(interval, counts, self.linear_light)
            ]
            if len(blurry) < EXPOSURE_LEVELS:
                return
            yield sharp[0], bicubic_downsample(sharp[0], self.scale), *blurry

    def _prepare(self, frame: np.ndarray) -> np.ndarray:
        frame = crop_to_multiple(frame, self.downscale * self.scale)
        return bicubic_downsample(frame, self.downscale)

    def _keep_sharp(
        self, interval: Iterable[np.ndarray], sharp: list[np.ndarray]
    ) -> Iterator[np.ndarray]:
        """Pass an interval on, and add its sharp frame to a list."""
        for index, frame in enumerate(interval):
            if index == self.gt_offset:
                sharp.append(frame)
            yield frame
