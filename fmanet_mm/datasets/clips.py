"""Clips of consecutive frames, for networks that restore all frames of a clip."""

import os

from mmagic.registry import DATASETS

from ..flow import flow_filename
from .gopro import GoProVSRDBDataset
from .reds import REDSVSRDBDataset
from .vsrdb import VSRDBDataset


class ClipSamples(VSRDBDataset):
    """One sample for every run of T consecutive frames of every clip.

    A sample is that of :class:`VSRDBDataset`, with these differences:

    - ``key``, ``'<clip>/<first frame>-<last frame>'``;
    - ``<kind>_path``, lists of T paths, ``gt`` too;
    - ``flow_path``, a list of 2T files: from each frame to the previous, then to the
      next one, None where that is not in the sample. They are those that
      ``tools/generate_flow.py --num-frames 3`` makes.

    Args:
        clip_length (int, optional): Frames in a sample, T. By default each clip is one
            sample.
        clip_stride (int): Frames from the start of a sample to that of the next one in
            the same clip. For testing use ``clip_length``, so that no frame is in two
            samples.
        **kwargs: See :class:`VSRDBDataset`, without its windows.

    Raises:
        FileNotFoundError: See :class:`VSRDBDataset`.
        ValueError: See :class:`VSRDBDataset`; also if a length is not positive.
    """

    def __init__(
        self, clip_length: int | None = None, clip_stride: int = 1, **kwargs
    ) -> None:
        for name, value in (('clip_length', clip_length), ('clip_stride', clip_stride)):
            if value is not None and value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        self.clip_length = clip_length
        self.clip_stride = clip_stride
        super().__init__(**kwargs)

    def sample_key(self, clip: str, stems: list[str]) -> str:
        """Key of the sample of these frames."""
        return f'{clip}/{stems[0]}-{stems[-1]}'

    def describe_short_clip(self) -> str:
        """Say what a clip without any sample lacks, and what to do."""
        return (
            f'fewer than the {self.clip_length} of clip_length; remove it from the '
            'annotation file, or set a smaller clip_length'
        )

    def windows(self, length: int) -> list[list[int]]:
        """Frame indices of the samples of a clip of ``length`` frames."""
        count = self.clip_length or length
        starts = range(0, length - count + 1, self.clip_stride)
        return [[*range(start, start + count)] for start in starts]

    def flow_paths(self, clip: str, window: list[str]) -> list[str | None]:
        """Flow files from each frame to both neighbours, None beyond the ends.

        Args:
            clip (str): Name of the clip.
            window (list[str]): Stems of the frames.

        Returns:
            list[str | None]: Paths, to the previous and the next frame in turn.
        """
        folder = self.clip_folder('flow', clip)
        previous, following = [None, *window[:-1]], [*window[1:], None]
        return [
            other and os.path.join(folder, flow_filename(stem, other))
            for stem, *neighbours in zip(window, previous, following, strict=True)
            for other in neighbours
        ]


@DATASETS.register_module()
class REDSClipDataset(ClipSamples, REDSVSRDBDataset):
    """Clips of REDS, see :class:`ClipSamples` and :class:`REDSVSRDBDataset`."""


@DATASETS.register_module()
class GoProClipDataset(ClipSamples, GoProVSRDBDataset):
    """Clips of GoPro, see :class:`ClipSamples` and :class:`GoProVSRDBDataset`."""
