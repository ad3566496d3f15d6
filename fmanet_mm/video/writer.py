"""Frames out: video files and folders of images."""

import logging
import os
from collections.abc import Iterable, Mapping
from fractions import Fraction
from heapq import merge
from itertools import count
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from mmengine.logging import print_log

from .colour import from_rgb
from .encoding import (
    VIDEO_FORMATS,
    Encoding,
    check_pixel_format,
    find_codec,
    find_format,
    find_options,
    find_pixel_format,
    find_tick,
)
from .reader import DEFAULT_FPS, FrameReader, VideoFileReader
from .segments import NUM_FRAMES, Segments
from .stream_copy import CopiedStreams, Window
from .work_folder import WorkFolder

VIDEO_SUFFIXES = tuple(VIDEO_FORMATS)
NUMBERED = '{:08d}.png'
"""Names of images in a folder, if nothing else names them."""
_DEEP_SUFFIXES = ('.png', '.tif', '.tiff')
# Fine enough for sound to stay in step; FFmpeg would round to milliseconds.
_MOVIE_TIMESCALE = 90_000


class FrameWriter:
    """What all writers have in common; :func:`open_writer` gives one.

    A writer is a context manager. It writes beside ``path`` and gives the result its
    name when the block ends well; when it ends with an error, nothing is left, unless
    it is told to keep what is done for another run.

    Args:
        path (str | PathLike): File or folder to write; its parent is made.
        source (FrameReader | None): What the frames come from.
        resume (bool): Go on with what an earlier run has left, if it left something.
        keep_partial (bool): Whether to leave it to another run.
        job (Mapping[str, Any]): Settings that both runs must share.

    Attributes:
        path (Path): Where the result will be.
        num_frames (int): Frames written so far, by an earlier run too. They are known
            when the block begins.

    Raises:
        ValueError: If ``path`` is the source; when the block begins, if there are
            frames of an earlier run but ``resume`` is False, or their job differs.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        source: FrameReader | None,
        resume: bool,
        keep_partial: bool,
        job: Mapping[str, Any],
    ) -> None:
        self.path = Path(path)
        self.num_frames = 0
        self._target = self.path.resolve()
        if source is not None and source.path.resolve() == self._target:
            raise ValueError(f'{path} is the input; choose another name for the output')
        self._shape = None
        self._resume = resume
        self._folder = WorkFolder(
            self._target,
            keep_partial or resume,
            {**_describe_source(source), **job},
        )

    def write(self, image: np.ndarray, time: Fraction | None = None) -> None:
        """Add a frame.

        Args:
            image (np.ndarray): (H, W, 3), RGB, uint8, or uint16 that spans 0 to 65535.
            time (Fraction | None): When it is shown, in seconds, by the clock of the
                source; by default as the frame rate says. Folders have no times.

        Raises:
            ValueError: If it is no such array, differs in size or type from the first,
                or is not shown after the frame before.
            OSError: If it cannot be written.
        """
        if (
            image.dtype not in (np.uint8, np.uint16)
            or image.ndim != 3
            or image.shape[2] != 3
        ):
            raise ValueError(
                f'frame {self.num_frames} for {self.path} must be (H, W, 3) uint8 or '
                f'uint16, got {image.shape} {image.dtype}'
            )
        self._shape = self._shape or image.shape
        if image.shape != self._shape:
            raise ValueError(
                f'frame {self.num_frames} for {self.path} has (H, W) = '
                f'{image.shape[:2]}, the frames before it have {self._shape[:2]}'
            )
        self._write(image, time)
        self.num_frames += 1

    def __enter__(self) -> 'FrameWriter':
        try:
            self._folder.open(self._resume, self._count_kept)
        except OSError as error:
            raise self._explain(error) from error
        if self._count_kept():
            self._go_on()
        return self

    def __exit__(self, exc_type: type | None, *exc_info) -> None:
        if exc_type is not None:
            self._break_off()
            return
        try:
            self._finish()
        except BaseException:
            self._break_off()
            raise

    def _finish(self) -> None:
        if self.num_frames == 0:
            raise ValueError(f'no frames were given for {self.path}')
        try:
            self._folder.deliver(self._complete(), self._target)
        except OSError as error:
            raise self._explain(error) from error

    def _break_off(self) -> None:
        """Keep what is done, or nothing; an error is on its way already."""
        num_frames = self._save() if self._folder.keep else 0
        if num_frames == 0:
            self._discard()
            return
        _warn(
            f'{self.path} is not complete; {num_frames} frames are kept in '
            f'{self._folder.path}, to go on with (--resume, or resume=True)'
        )

    def _explain(self, error: OSError) -> OSError:
        """Name what the user knows, and not what stands for it meanwhile."""
        return OSError(error.errno, f'{self.path} cannot be written: {error.strerror}')

    def _count_kept(self) -> int:
        """Tell how many frames are safe."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """Take up what is there."""
        self.num_frames = self._count_kept()

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        raise NotImplementedError

    def _complete(self) -> Path:
        """Write what is still held back; tell where the result is."""
        raise NotImplementedError

    def _save(self) -> int:
        """Make what is done safe, as far as possible; tell how many frames that is."""
        return self._count_kept()

    def _discard(self) -> None:
        self._folder.discard()


class VideoFileWriter(FrameWriter):
    """Writes a video file, by default H.264, or VP9 in WebM.

    Frames are encoded in segments that are joined at the end, without encoding them
    anew. With a video file as the source, its timestamps are kept as exactly as the
    container can, its sound and subtitles are copied, cut to its start and end, and
    its sample aspect ratio, chapters and tags are kept.

    Args:
        path (str | PathLike): File to write; its suffix gives the container. A file of
            that name is replaced at the end.
        fps (Fraction | float): Frames per second, the mean of a variable rate.
        source (FrameReader | None): What the frames come from.
        codec (str | None): FFmpeg's name of the codec or encoder.
        crf (float | None): Constant rate factor, the smaller the better; by default 15.
        pixel_format (str | None): FFmpeg's name; by default 4:2:0, or 4:4:4 for odd
            sizes, of 10 bits for uint16 frames if the codec can.
        resume (bool): See :class:`FrameWriter`.
        keep_partial (bool): See :class:`FrameWriter`. What is done is then also left
            as a file that can be played, ``<stem>.partial<suffix>``.
        job (Mapping[str, Any] | None): See :class:`FrameWriter`.

    Raises:
        ValueError: If the suffix is of no video container that is supported, or codec,
            crf or pixel format are unknown or do not fit.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: Fraction | float,
        *,
        source: FrameReader | None = None,
        codec: str | None = None,
        crf: float | None = None,
        pixel_format: str | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        job: Mapping[str, Any] | None = None,
    ) -> None:
        self.fps = Fraction(fps).limit_denominator(65536)
        self._format = find_format(path)
        self._codec = find_codec(self._format, codec)
        self._options = find_options(self._codec, crf)
        if pixel_format is not None:
            check_pixel_format(self._codec, pixel_format)
        self._pixel_format = pixel_format
        settings = dict(
            fps=self.fps,
            codec=self._codec,
            crf=self._options.get('crf'),
            pixel_format=pixel_format,
            pyav=av.__version__,
        )
        super().__init__(
            path, source, resume, keep_partial, {**settings, **(job or {})}
        )
        self._playable = self._target.with_name(
            f'{self._target.stem}.partial{self._target.suffix}'
        )
        self._segments = Segments(
            self._folder, NUM_FRAMES if self._folder.keep else None
        )
        self._source = source if isinstance(source, VideoFileReader) else None
        self._start = (source and source.start) or Fraction(0)
        self._sample_aspect_ratio = (
            source.sample_aspect_ratio if source else Fraction(1)
        )
        self._tick = find_tick(
            self._format, self._codec, self.fps, self._look_at_source()
        )
        self._reformatter = VideoReformatter()
        self._encoding = None
        self._last = None
        self._last_time = None

    def _look_at_source(self) -> Fraction | None:
        """Tell its unit of time, and warn of what is left out."""
        if self._source is None:
            return None
        with CopiedStreams(self._source.path, self._format) as streams:
            if streams.unfit:
                _warn(
                    f'{self.path} cannot hold all of {self._source.path}, so this is '
                    f'left out: {", ".join(streams.unfit)}'
                )
            return streams.tick

    def _count_kept(self) -> int:
        return self._segments.find()

    def _go_on(self) -> None:
        super()._go_on()
        height, width, pixel_format, last = self._segments.describe()
        self._shape = height, width, 3
        self._encoding = self._encode_as(self._pixel_format or pixel_format)
        self._last = round(last / self._tick)

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        try:
            if self._encoding is None:
                self._begin(image.dtype == np.uint16)
            picture = from_rgb(
                image,
                self._encoding.pixel_format,
                self._reformatter,
                self._encoding.is_bt709,
            )
            picture.pts = self._to_ticks(time)
            picture.time_base = self._tick
            self._segments.write(picture, self._encoding)
        except OSError as error:
            raise self._explain(error) from error
        self._last = picture.pts

    def _begin(self, is_deep: bool) -> None:
        """Find out how to encode, and whether that is possible."""
        encoding = self._encode_as(
            self._pixel_format
            or find_pixel_format(self._codec, *self._shape[:2], is_deep)
        )
        try:
            encoding.check_container()
        except ValueError as error:
            raise ValueError(f'{self.path} cannot be written: {error}') from error
        if not encoding.keeps_aspect:
            _warn(
                f'{self.path} will be shown in the wrong shape: {self._codec} in '
                f'{self._target.suffix} does not hold the sample aspect ratio '
                f'{self._sample_aspect_ratio}; .mp4 does'
            )
        self._encoding = encoding

    def _encode_as(self, pixel_format: str) -> Encoding:
        return Encoding(
            format=self._format,
            codec=self._codec,
            options=self._options,
            pixel_format=pixel_format,
            height=self._shape[0],
            width=self._shape[1],
            fps=self.fps,
            tick=self._tick,
            sample_aspect_ratio=self._sample_aspect_ratio,
        )

    def _to_ticks(self, time: Fraction | None) -> int:
        """Round a time; frames that would be shown at once follow each other."""
        if time is None:
            time = self._start + self.num_frames / self.fps
        if self._last_time is not None and time <= self._last_time:
            raise ValueError(
                f'frame {self.num_frames} for {self.path} is to be shown at '
                f'{float(time)} s, the one before at {float(self._last_time)} s; times '
                'must grow'
            )
        self._last_time = time
        ticks = round(time / self._tick)
        return ticks if self._last is None else max(ticks, self._last + 1)

    def _complete(self) -> Path:
        self._segments.close()
        return self._join()

    def _join(self, is_partial: bool = False) -> Path:
        """Make a file of the segments and the other streams of the source."""
        result = self._folder.path / f'joined{self._target.suffix}'
        with av.open(
            str(result),
            'w',
            format=self._format,
            container_options=_container_options(self._format),
        ) as container:
            stream = self._encoding.add_to(container)
            if self._source is None:
                container.mux(self._segments.join(stream, self._tick))
            else:
                self._join_source(container, stream, is_partial)
        return result

    def _join_source(
        self,
        container: av.container.OutputContainer,
        stream: av.VideoStream,
        is_partial: bool,
    ) -> None:
        first, last = self._segments.times()
        end = last + 1 / self.fps if is_partial else self._source.end
        window = Window(
            zero=self._source.origin + first,
            # AVI lets all streams begin at once.
            is_cut=self._source.start is not None or self._format == 'avi',
            end=None if end is None else end - first,
        )
        with CopiedStreams(self._source.path, self._format) as streams:
            streams.add_to(container, window)
            for packet in merge(
                self._segments.join(stream, self._tick),
                streams.packets(window),
                key=_decoding_time,
            ):
                container.mux(packet)

    def _save(self) -> int:
        """Close the open segment, and join those that are closed for a player."""
        try:
            self._segments.close()
            if self._segments.num_frames:
                os.replace(self._join(is_partial=True), self._playable)
                _warn(f'what is done of {self.path} can be played as {self._playable}')
        except (OSError, ValueError) as error:
            _warn(f'what was done last of {self.path} is lost: {error}')
        return self._segments.num_frames

    def _finish(self) -> None:
        super()._finish()
        if self._folder.keep:
            self._playable.unlink(missing_ok=True)

    def _discard(self) -> None:
        self._segments.abandon()
        super()._discard()


class ImageFolderWriter(FrameWriter):
    """Writes a folder of images.

    Args:
        path (str | PathLike): Folder to write. One that is there must be empty, so
            that frames of two clips are never mixed.
        filenames (Iterable[str] | None): Names of the images; by default PNG images
            with the frame's number in eight digits. Only PNG and TIFF keep the 16 bits
            of uint16 frames.
        source (FrameReader | None): See :class:`FrameWriter`.
        resume (bool): See :class:`FrameWriter`.
        keep_partial (bool): See :class:`FrameWriter`.
        job (Mapping[str, Any] | None): See :class:`FrameWriter`.

    Raises:
        ValueError: If there are files in the folder, or ``path`` is a file; while
            writing if two names are alike or a suffix is of no image format.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        filenames: Iterable[str] | None = None,
        *,
        source: FrameReader | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        job: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(path, source, resume, keep_partial, job or {})
        if self.path.is_file():
            raise ValueError(f'{path} is a file, expected a folder to write images to')
        if self.path.is_dir() and any(self.path.iterdir()):
            raise ValueError(
                f'the folder {path} is not empty; empty it or choose another, so that '
                'the frames of two clips are not mixed'
            )
        self._images = self._folder.path / 'images'
        self._filenames = iter(filenames or map(NUMBERED.format, count()))
        self._next_name = None

    def _count_kept(self) -> int:
        return len(list(self._images.glob('*')))

    def _go_on(self) -> None:
        super()._go_on()
        for _ in range(self.num_frames):
            next(self._filenames)

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        name = next(self._filenames)
        if (self._images / name).exists():
            raise ValueError(f'two frames of {self.path} would be named {name}')
        if not cv2.haveImageWriter(name):
            raise ValueError(
                f'{name} is no name for an image; use a suffix such as .png'
            )
        suffix = Path(name).suffix
        if image.dtype == np.uint16 and suffix.lower() not in _DEEP_SUFFIXES:
            image = cv2.convertScaleAbs(image, alpha=255 / 65535)
        _, data = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        try:
            self._images.mkdir(exist_ok=True)
            self._folder.add(f'images/{name}', data.tobytes())
        except OSError as error:
            raise self._explain(error) from error

    def _complete(self) -> Path:
        return self._images


def open_writer(
    path: str | os.PathLike,
    fps: Fraction | float = DEFAULT_FPS,
    filenames: Iterable[str] | None = None,
    *,
    source: FrameReader | None = None,
    codec: str | None = None,
    crf: float | None = None,
    pixel_format: str | None = None,
    resume: bool = False,
    keep_partial: bool = False,
    job: Mapping[str, Any] | None = None,
) -> FrameWriter:
    """Open a video file or a folder of images for writing.

    Args:
        path (str | PathLike): A file name with the suffix of a video container, or a
            folder, which needs no suffix unless it exists.
        fps (Fraction | float): Frames per second of a video file.
        filenames (Iterable[str] | None): Names of the images in a folder; see
            :class:`ImageFolderWriter`.
        source (FrameReader | None): What the frames come from; see
            :class:`VideoFileWriter`.
        codec (str | None): Of a video file; see :class:`VideoFileWriter`.
        crf (float | None): Of a video file; see :class:`VideoFileWriter`.
        pixel_format (str | None): Of a video file; see :class:`VideoFileWriter`.
        resume (bool): Go on with what an earlier run with ``keep_partial`` has left:
            ``num_frames`` of the writer are there already, and the next to be written
            is the one with that number. This run keeps what is done, too.
        keep_partial (bool): If the block ends with an error or is interrupted, or the
            process killed, keep what is done in the folder ``.<name>.partial`` beside
            the output.
        job (Mapping[str, Any] | None): What makes the frames what they are, such as
            settings of a network; a run can only be gone on with if it is the same.

    Returns:
        FrameWriter: A context manager with ``write``.

    Raises:
        ValueError: If the suffix is of no video container that is supported, codec,
            crf or pixel format do not fit, the folder is not empty, or the output is
            the source; when the block begins, if there is an earlier run that it does
            not go on with.
    """
    path = Path(path)
    kept = dict(source=source, resume=resume, keep_partial=keep_partial, job=job)
    if path.is_dir() or not path.suffix:
        return ImageFolderWriter(path, filenames, **kept)
    return VideoFileWriter(
        path, fps, codec=codec, crf=crf, pixel_format=pixel_format, **kept
    )


def _describe_source(source: FrameReader | None) -> dict[str, Any]:
    """Tell what another run must have the same of it."""
    if source is None:
        return {}
    path = source.path.resolve()
    about = dict(
        source=path, start=source.start, end=source.end, num_frames=source.num_frames
    )
    if path.is_file():
        about['source_bytes'] = path.stat().st_size
    return about


def _container_options(format: str) -> dict[str, str]:
    if format in ('mp4', 'mov'):
        return {'movie_timescale': str(_MOVIE_TIMESCALE)}
    return {}


def _decoding_time(packet: av.Packet) -> Fraction:
    ticks = packet.pts if packet.dts is None else packet.dts
    return ticks * packet.time_base


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
