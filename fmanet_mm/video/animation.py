"""Clips in files of images: stacks of TIFF pages and animated WebP."""

import os
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from .clip_info import ClipInfo
from .frames import TimedFrame
from .image_files import list_pages, read_profile
from .images import decode_page, open_image
from .options import ReadOptions
from .reader import FrameReader

_SIGNATURES = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+', b'RIFF')
"""Beginnings of TIFF, BigTIFF and WebP files; AVI files share the last."""


class AnimationReader(FrameReader):
    """Reads the pages of a TIFF file, or an animated WebP file, as a clip.

    Args:
        path (str | PathLike): The file.
        options (ReadOptions): Which frames to read, and how. TIFF has no times; it is
            read with the frame rate of folders.

    Raises:
        ValueError: If it cannot be read, the limits are exceeded, or start and end
            leave nothing.
    """

    def __init__(self, path: str | os.PathLike, options: ReadOptions) -> None:
        super().__init__(path, options)
        self.name = self.path.stem
        self._options = options
        self._header = open_image(self.path, options.limits)
        self._pages = list_pages(self._header)
        self._data = np.fromfile(self.path, np.uint8)
        self._times, stop = self._find_times()
        self._stops = [*self._times[1:], stop]
        self.fps = len(self._pages) / stop
        self._limits.check_duration(
            self.path, stop if self._end is None else min(stop, self._end)
        )
        self._shown = [
            index
            for index, time in enumerate(self._times)
            if self._start <= time and (self._end is None or time < self._end)
        ]
        if not self._shown:
            raise ValueError(f'{self.path} holds no frames{self._part()}')
        self.num_frames = len(self._shown)
        first = self._decode(self._shown[0], None)
        self.height, self.width = first.shape[:2]
        self.dtype = first.dtype if options.keep_depth else np.dtype(np.uint8)
        self.info = ClipInfo(
            path=self.path,
            fps=self.fps,
            is_file=False,
            num_frames=self.num_frames,
            start=options.start,
            end=options.end,
            files=(self.path,),
            reading=options.reading,
            icc_profile=None if options.to_srgb else read_profile(self._header),
        )

    def close(self) -> None:
        """Release the file; no more frames can be read."""
        self._header.close()

    def _find_times(self) -> tuple[list[Fraction], Fraction]:
        """Return the times of all frames, and when the last one ends."""
        times, time = [], Fraction(0)
        for page in self._pages:
            times.append(time)
            time += self._duration(page)
        return times, time

    def _duration(self, page: int) -> Fraction:
        if self._header.format == 'TIFF':
            return 1 / self._options.folder_fps
        try:
            self._header.seek(page)
            self._header.load()
        except (OSError, SyntaxError, ValueError, EOFError):
            return 1 / self._options.folder_fps  # Said when it is decoded.
        # Players show frames without a duration for a tenth of a second.
        return Fraction(self._header.info.get('duration') or 100) / 1000

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        for index in self._shown:
            try:
                image = self._decode(index, self.dtype)
            except ValueError as error:
                message = f'{self.path} ends at frame {index}: {error}'
                raise ValueError(message) from error
            stop = self._stops[index]
            stop = stop if self._end is None else min(stop, self._end)
            self.last_duration = stop - self._times[index]
            yield index, TimedFrame(image, self._times[index])

    def _decode(self, index: int, dtype: np.dtype | None) -> np.ndarray:
        if self._header.has_transparency_data:
            self._report_alpha()
        return decode_page(
            self._header, self._data, self._pages[index], dtype, self._options.to_srgb
        )


def is_animation(path: str | os.PathLike) -> bool:
    """Whether a file is one for :class:`AnimationReader`, with several pictures."""
    with open(path, 'rb') as file:
        if not file.read(4).startswith(_SIGNATURES):
            return False
    try:
        with open_image(path) as header:
            return header.format in ('TIFF', 'WEBP') and len(list_pages(header)) > 1
    except ValueError:
        return False
