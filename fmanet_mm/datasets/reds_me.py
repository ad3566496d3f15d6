"""REDS-ME and REDS-RE, the sets of FMA-Net++ (arXiv 2512.04390) with several exposures.

The layout is that of ``tools/dataset_converters/reds_me``: that of REDS, but the blurry
frames of level N are in a folder ``5-N`` below those of the kind,
``train_blur_bicubic/X4/5-3/000/00000000.png``. Sharp frames and flow are the same for
all levels.
"""

import os
import re
from collections.abc import Sequence
from zlib import crc32

from mmagic.registry import DATASETS

from ..utils.exposure import EXPOSURE_LEVELS, check_levels, level_at, level_name
from .clips import ClipSamples
from .reds import REDSVSRDBDataset

ALL_LEVELS = tuple(range(1, EXPOSURE_LEVELS + 1))
"""Levels of exposure, from the shortest to the longest."""

_PREFIX = re.compile(rf'{EXPOSURE_LEVELS}-(\d+)/')


class _Levels(ClipSamples, REDSVSRDBDataset):
    """Clips whose blurry frames are in folders of their levels.

    Args:
        levels (Sequence[int]): The levels to read.
        **kwargs: See :class:`ClipSamples` and :class:`REDSVSRDBDataset`.
    """

    def __init__(self, levels: Sequence[int], **kwargs) -> None:
        check_levels(levels)
        self.levels = tuple(levels)
        super().__init__(**kwargs)

    def level(self, clip: str, stem: str) -> int:
        """Exposure level of a frame of a clip."""
        raise NotImplementedError

    def clip_roots(self, kind: str) -> list[str]:
        """Folders in which clips are looked for, one for each level."""
        roots = super().clip_roots(kind)
        if kind != 'img':
            return roots
        return [
            os.path.join(root, level_name(level))
            for root in roots
            for level in self.levels
        ]

    def clip_folder(self, kind: str, clip: str) -> str:
        """Folder of a clip; only that of ``img`` depends on the level."""
        if kind != 'img':
            clip = _PREFIX.sub('', clip, count=1)
        return super().clip_folder(kind, clip)

    def _load_clip(self, clip: str, length: int | None) -> list[dict]:
        samples = super()._load_clip(clip, length)
        for sample in samples:
            stems = [os.path.basename(path)[:-4] for path in sample['img_path']]
            sample['exposure'] = [self.level(clip, stem) for stem in stems]
        return samples


@DATASETS.register_module()
class REDSMEDataset(_Levels):
    """REDS-ME: every clip at several levels of exposure, constant in a clip.

    A sample is that of :class:`ClipSamples` with ``exposure``, a list of T levels; its
    key begins with the level, ``'5-3/000/00000000-00000009'``.

    Args:
        levels (Sequence[int]): Levels 1 to 5 to use; training takes all.
        **kwargs: See :class:`ClipSamples` and :class:`REDSVSRDBDataset`.

    Raises:
        FileNotFoundError: See :class:`VSRDBDataset`; also if the folder of a level is
            missing.
        ValueError: See :class:`ClipSamples`; also if there is no such level.
    """

    METAINFO = dict(dataset_type='reds_me', task_name='vsrdb')

    def __init__(self, levels: Sequence[int] = ALL_LEVELS, **kwargs) -> None:
        super().__init__(levels, **kwargs)

    def select_clips(self, clips: dict[str, int | None]) -> dict[str, int | None]:
        """Select the clips of the subset, each at every level."""
        selected = super().select_clips(clips)
        return {
            f'{level_name(level)}/{clip}': length
            for level in self.levels
            for clip, length in selected.items()
        }

    def level(self, clip: str, stem: str) -> int:
        """Exposure level of a frame of a clip, given by the clip's name."""
        return int(_PREFIX.match(clip)[1])


@DATASETS.register_module()
class REDSREDataset(_Levels):
    """REDS-RE: the exposure of each clip changes at random.

    Frames are those of the levels of REDS-ME. The walk of a clip's level, see
    :func:`~fmanet_mm.utils.exposure.walk_levels`, depends on ``seed``, the clip's name
    and the number of the frame only. The authors' walks are not published; those of
    seed 0 are the project's benchmark.

    A sample is that of :class:`ClipSamples` with ``exposure``, a list of T levels.

    Args:
        seed (int): Seed of the walks.
        **kwargs: See :class:`ClipSamples` and :class:`REDSVSRDBDataset`.

    Raises:
        FileNotFoundError: See :class:`VSRDBDataset`; also if the folder of a level is
            missing.
        ValueError: See :class:`ClipSamples`; also if ``seed`` is negative.
    """

    METAINFO = dict(dataset_type='reds_re', task_name='vsrdb')

    def __init__(self, seed: int = 0, **kwargs) -> None:
        if seed < 0:
            raise ValueError(f'seed must not be negative, got {seed}')
        self.seed = seed
        super().__init__(ALL_LEVELS, **kwargs)

    def level(self, clip: str, stem: str) -> int:
        """Exposure level of a frame of a clip, given by the clip's walk."""
        return level_at((self.seed, crc32(clip.encode())), int(stem))

    def frame_names(self, kind: str, clip: str) -> list[str]:
        """List the frames of a clip at their levels; see :class:`VSRDBDataset`."""
        if kind != 'img':
            return super().frame_names(kind, clip)
        names = []
        for level in self.levels:
            for name in super().frame_names(kind, f'{level_name(level)}/{clip}'):
                stem = self.frame_stem(kind, f'{level_name(level)}/{clip}', name)
                if self.level(clip, stem) == level:
                    names.append(name)
        return names

    def clip_folder(self, kind: str, clip: str) -> str:
        """Folder of a clip; ``5-*`` is a placeholder for the levels of its frames."""
        if kind == 'img' and not _PREFIX.match(clip):
            clip = f'{EXPOSURE_LEVELS}-*/{clip}'
        return super().clip_folder(kind, clip)

    def frame_path(self, kind: str, clip: str, frame: str) -> str:
        """File of a frame, at its level if it is blurry."""
        if kind == 'img':
            clip = f'{level_name(self.level(clip, frame))}/{clip}'
        return super().frame_path(kind, clip, frame)
