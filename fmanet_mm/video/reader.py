"""Frames in: video files and folders of images."""

import logging
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from mmengine.logging import print_log

from .colour import Orientation, depth, to_rgb
from .container import declared_size, open_container
from .images import decode_image, list_images, open_image, read_image
from .limits import Limits
from .timestamps import fill_times

DEFAULT_FPS = Fraction(25)
_MAX_INT = 2**31 - 1


class TimedFrame(NamedTuple):
    """A frame and when it is shown.

    Attributes:
        image (np.ndarray): (H, W, 3), RGB.
        time (Fraction): Seconds since the first frame of the whole video.
    """

    image: np.ndarray
    time: Fraction


class FrameReader:
    """What all readers have in common; :func:`open_frames` gives one.

    A reader is a context manager and can be iterated once. It gives (H, W, 3) RGB
    arrays in display order, and holds no more than a few of them.

    Attributes:
        path (Path): What is read.
        name (str): Name of the clip: of the folder, or of the file without suffix.
        fps (Fraction): Frames per second, the mean of a variable frame rate.
        height (int): Rows of a frame.
        width (int): Columns of a frame.
        dtype (np.dtype): Type of the frames: uint8, or uint16 that spans 0 to 65535.
        sample_aspect_ratio (Fraction): Width by height of a pixel of these frames; 1
            if it is not known.
        num_frames (int | None): Number of frames; of a video file what its header lets
            expect, or None if it says nothing.
        start (Fraction | None): Time in seconds from which frames are given.
        end (Fraction | None): Time in seconds before which frames are given.
    """

    path: Path
    name: str
    fps: Fraction
    height: int
    width: int
    dtype: np.dtype
    sample_aspect_ratio: Fraction
    num_frames: int | None

    def __init__(
        self,
        path: str | os.PathLike,
        start: Fraction | float | None,
        end: Fraction | float | None,
        limits: Limits,
    ) -> None:
        self.path = Path(path)
        self.start = _to_seconds('start', start)
        self.end = _to_seconds('end', end)
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError(
                f'end = {end} s leaves nothing of {path}; it must be greater than '
                f'start = {start or 0} s'
            )
        self._limits = limits
        self._told_of_alpha = False

    def __enter__(self) -> 'FrameReader':
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; frames cannot be read any more."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give the frames; see :meth:`timed`."""
        return (frame.image for frame in self.timed())

    def timed(self) -> Iterator[TimedFrame]:
        """Give the frames with their times.

        Yields:
            TimedFrame: Frame and time; times grow, and are 0 at the first frame of the
            whole video, whatever ``start`` is.

        Raises:
            ValueError: If a frame cannot be decoded or has another size than the
                first; the frames before it were given. The message gives its number in
                the whole video, counted from 0.
        """
        for index, frame in self._numbered():
            if frame.image.shape != (self.height, self.width, 3):
                raise ValueError(
                    f'{self.path} ends at frame {index}: it has (H, W) = '
                    f'{frame.image.shape[:2]}, the frames before it have '
                    f'{(self.height, self.width)}; the frames of a clip must have '
                    'one size'
                )
            yield frame

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        """Frames with their numbers in the whole video."""
        raise NotImplementedError

    def _tell_of_alpha(self) -> None:
        """Say once that there is an alpha channel, which RGB lacks."""
        if not self._told_of_alpha:
            self._told_of_alpha = True
            print_log(
                f'{self.path} has an alpha channel, which is dropped',
                logger='current',
                level=logging.WARNING,
            )

    def _name_part(self) -> str:
        """Say in a message which part is read."""
        start = f' from {float(self.start)} s' if self.start else ''
        end = '' if self.end is None else f' before {float(self.end)} s'
        return start + end


class VideoFileReader(FrameReader):
    """Reads a video file.

    The content decides about the format, not the file's name. Only the file itself is
    read: playlists, which would refer to other files or the network, are refused.
    Frames are turned upright. Times come from the file; where they are missing, they
    are interpolated.

    Args:
        path (str | PathLike): A local file.
        keep_depth (bool): Give uint16 if the video has more than 8 bits.
        start (Fraction | float | None): Leave frames before this time out, in seconds.
            They are decoded all the same.
        end (Fraction | float | None): Leave frames at and after this time out.
        limits (Limits | None): What is refused as too large or too long.

    Attributes:
        origin (Fraction): Timestamp in seconds that the first frame of the whole video
            has in the file, to which its sound refers.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a video, none of its frames can be decoded, it exceeds
            the limits, or start and end leave nothing of it.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        keep_depth: bool = False,
        start: Fraction | float | None = None,
        end: Fraction | float | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(path, start, end, limits or Limits())
        self.name = self.path.stem
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video file {path}; check the path')
        self._file = open(self.path, 'rb')
        try:
            self._open(keep_depth)
        except Exception:
            self._file.close()
            raise

    def _open(self, keep_depth: bool) -> None:
        options = self._decoder_options()
        try:
            self._container = open_container(self._file, options)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(
                f'{self.path} is not a video file that can be read ({error.strerror}); '
                'it is damaged, cut off, no video, or a playlist, which is not '
                'followed; for images, name their folder'
            ) from error
        stream = self._stream = self._container.streams.best('video')
        if stream is None or Disposition.attached_pic in stream.disposition:
            raise ValueError(
                f'{self.path} holds no video; it is cut off, or has other data only'
            )
        context = stream.codec_context
        if context is None:
            raise ValueError(
                f'{self.path} holds video of an unknown codec; it is damaged, or must '
                'be converted with another tool first'
            )
        self._limits.check_size(self.path, context.height, context.width)
        stop = self._stop_time()
        if stop is not None:
            self._limits.check_duration(self.path, stop)
        context.options = options
        context.thread_count = 1  # In H.264, slice threads let damage go unnoticed.
        self.fps = stream.average_rate or stream.guessed_rate or DEFAULT_FPS
        self.num_frames = self._expected_frames(stop)

        self._keep_depth = keep_depth
        self._damage = None
        frames = self._decode()
        first = next(frames)
        self._frames = chain([first], frames)
        self.height, self.width = first[1].image.shape[:2]

    def close(self) -> None:
        """Let go of the file; frames cannot be read any more."""
        self._container.close()
        self._file.close()

    def _decoder_options(self) -> dict[str, str]:
        """Keep the decoder from taking memory for a size that the header hides.

        Sizes are rounded up to blocks there, so its cap is wider.
        """
        if self._limits.max_pixels is None:
            return {}
        return {'max_pixels': str(min(4 * self._limits.max_pixels, _MAX_INT))}

    def _stop_time(self) -> Fraction | None:
        """Time up to which must be decoded, as far as the header tells."""
        times = []
        if self._stream.duration is not None:
            times.append(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None:
            times.append(Fraction(self._container.duration, av.time_base))
        if self.end is not None:
            times.append(self.end)
        return min(times, default=None)

    def _expected_frames(self, stop: Fraction | None) -> int | None:
        if self.start is None and self.end is None and self._stream.frames:
            return self._stream.frames
        if stop is None:
            return None
        return max(1, round((stop - (self.start or 0)) * self.fps))

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        return self._frames

    def _decode(self) -> Iterator[tuple[int, TimedFrame]]:
        """Decode up to the end or the first damage, then say where that is."""
        reformatter = VideoReformatter()
        self.origin = None
        count = given = 0
        for frame, timestamp in fill_times(self._decode_sound_frames(), 1 / self.fps):
            if self.origin is None:
                self.origin = timestamp
                self._describe(frame)
            time = timestamp - self.origin
            if self.end is not None and time >= self.end:
                break
            self._limits.check_duration(self.path, time)
            if time >= (self.start or 0):
                self._limits.check_size(self.path, frame.height, frame.width)
                yield count, TimedFrame(self._convert(frame, reformatter), time)
                given += 1
            count += 1
        else:
            self._check_end(count)
        if given == 0:
            raise ValueError(f'{self.path} holds no frames{self._name_part()}')

    def _describe(self, first: av.VideoFrame) -> None:
        """Learn from the first frame what all frames have in common."""
        is_deep = self._keep_depth and depth(first.format) > 8
        self.dtype = np.dtype(np.uint16 if is_deep else np.uint8)
        if len(first.format.components) in (2, 4):
            self._tell_of_alpha()
        ratio = self._stream.sample_aspect_ratio or Fraction(1)
        is_sideways = Orientation.of(first).transpose
        self.sample_aspect_ratio = 1 / ratio if is_sideways else ratio

    def _convert(
        self, frame: av.VideoFrame, reformatter: VideoReformatter
    ) -> np.ndarray:
        try:
            return to_rgb(frame, reformatter, self.dtype)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(
                f'{self.path} has colours that cannot be converted to RGB (pixel '
                f'format {frame.format.name}, matrix {frame.colorspace}: '
                f'{error.strerror}); convert it to BT.709 with another tool first'
            ) from error

    def _check_end(self, count: int) -> None:
        """Raise a ValueError if so many frames are not all."""
        if self._damage is None and self._is_cut_off():
            self._damage = 'the file is cut off'
        if self._damage is None:
            return
        context = self._stream.codec_context
        self._limits.check_size(self.path, context.height, context.width)
        if context.width == 0 and self._limits.max_pixels is not None:
            self._damage += (
                f', or its frames are larger than max_pixels = '
                f'{self._limits.max_pixels}, a limit that can be changed'
            )
        raise ValueError(
            f'{self.path} ends at frame {count}: this and the frames after it cannot '
            f'be decoded ({self._damage})'
        )

    def _decode_sound_frames(
        self,
    ) -> Iterator[tuple[av.VideoFrame, Fraction | None]]:
        """Frames up to the first damage, which is remembered, with their timestamps.

        Formats that give packets no presentation time, such as AVI, give them the time
        of decoding, from which the decoder derives that of frames.
        """
        unit = self._stream.time_base
        use_dts = None
        for frame in self._decode_to_damage():
            if use_dts is None:
                use_dts = frame.pts is None
            timestamp = frame.dts if use_dts else frame.pts
            yield frame, None if timestamp is None else timestamp * unit

    def _decode_to_damage(self) -> Iterator[av.VideoFrame]:
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    self._damage = 'its data are incomplete'
                    break
                for frame in packet.decode():
                    if frame.is_corrupt:
                        self._damage = 'its data are damaged'
                        return
                    yield frame
        except av.FFmpegError as error:
            self._damage = error.strerror
        if self._damage is not None:
            yield from self._held_back()

    def _held_back(self) -> Iterator[av.VideoFrame]:
        """Frames that the decoder keeps until it knows which comes next."""
        try:
            yield from self._stream.codec_context.decode(None)
        except av.FFmpegError:
            return

    def _is_cut_off(self) -> bool:
        """FFmpeg is silent about some formats that end too early."""
        declared = declared_size(self.path)
        return declared is not None and self.path.stat().st_size < declared


class ImageFolderReader(FrameReader):
    """Reads a folder of images, ordered by the numbers in their names.

    Grey images become RGB, alpha is dropped (and the log says so). Files of other kinds
    are ignored.

    Args:
        path (str | PathLike): A folder.
        fps (Fraction | float): Frames per second that it shall count as.
        keep_depth (bool): Give uint16 if the first image has 16 bits, instead of
            rounding to 8.
        start (Fraction | float | None): Leave frames before this time out, in seconds.
        end (Fraction | float | None): Leave frames at and after this time out.
        pattern (str | None): Which file names to read, with ``*``, ``?`` and ``[...]``;
            by default all with the suffix of an image.
        limits (Limits | None): What is refused as too large or too long.

    Attributes:
        stems (list[str]): Names of the images without suffix, in order.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If the first image cannot be read, the limits are exceeded, or start
            and end leave nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: Fraction | float = DEFAULT_FPS,
        *,
        keep_depth: bool = False,
        start: Fraction | float | None = None,
        end: Fraction | float | None = None,
        pattern: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(path, start, end, limits or Limits())
        self.name = self.path.resolve().name
        self.fps = Fraction(fps).limit_denominator(65536)
        self.sample_aspect_ratio = Fraction(1)
        images = list_images(self.path, pattern)
        # Frame i is shown at i / fps.
        self._first = ceil((self.start or 0) * self.fps)
        stop = len(images) if self.end is None else ceil(self.end * self.fps)
        self._images = images[self._first : stop]
        if not self._images:
            raise ValueError(
                f'{self.path} holds no frames{self._name_part()}; its {len(images)} '
                f'images last {float(len(images) / self.fps)} s'
            )
        self.stems = [image.stem for image in self._images]
        self.num_frames = len(self._images)
        self._limits.check_duration(
            self.path, (self._first + self.num_frames) / self.fps
        )
        first = read_image(self._images[0], None, self._limits)
        self.height, self.width = first.shape[:2]
        self.dtype = first.dtype if keep_depth else np.dtype(np.uint8)

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        for index, path in enumerate(self._images, self._first):
            try:
                image = self._read(path)
            except ValueError as error:
                message = f'{self.path} ends at frame {index}: {error}'
                raise ValueError(message) from error
            yield index, TimedFrame(image, index / self.fps)

    def _read(self, path: Path) -> np.ndarray:
        with open_image(path, self._limits) as header:
            if header.has_transparency_data:
                self._tell_of_alpha()
            return decode_image(header, self.dtype)


def open_frames(
    path: str | os.PathLike,
    folder_fps: Fraction | float = DEFAULT_FPS,
    *,
    keep_depth: bool = False,
    start: Fraction | float | None = None,
    end: Fraction | float | None = None,
    pattern: str | None = None,
    limits: Limits | None = None,
) -> FrameReader:
    """Open a video file or a folder of images.

    Args:
        path (str | PathLike): A local video file or a folder.
        folder_fps (Fraction | float): Frames per second of a folder; a video file
            knows its own.
        keep_depth (bool): Give uint16 for video of more than 8 bits and for 16-bit
            images, instead of rounding to 8 bits.
        start (Fraction | float | None): Leave frames before this time out, in seconds
            since the first frame.
        end (Fraction | float | None): Leave frames at and after this time out.
        pattern (str | None): Which files of a folder to read, such as
            ``'left_*.png'``; by default all with the suffix of an image.
        limits (Limits | None): What is refused as too large or too long; by default
            ``Limits()``.

    Returns:
        FrameReader: A context manager that gives (H, W, 3) uint8 or uint16 RGB arrays.

    Raises:
        FileNotFoundError: If there is no such file or folder, or no image in it.
        ValueError: If the file is not a video, its first frame cannot be read, the
            limits are exceeded, or start and end leave nothing.
    """
    part = dict(keep_depth=keep_depth, start=start, end=end, limits=limits)
    if Path(path).is_dir():
        return ImageFolderReader(path, folder_fps, pattern=pattern, **part)
    if not Path(path).exists():
        raise FileNotFoundError(
            f'there is no video file or folder of images {path}; check the path'
        )
    if pattern is not None:
        raise ValueError(
            f'pattern = {pattern!r} picks images of a folder, but {path} is a file'
        )
    return VideoFileReader(path, **part)


def _to_seconds(name: str, value: Fraction | float | None) -> Fraction | None:
    """Make a time exact, so that 0.2 is 1/5."""
    if value is None:
        return None
    if value < 0:
        raise ValueError(f'{name} must be at least 0 seconds, got {value}')
    seconds = Fraction(value)
    return seconds.limit_denominator(1_000_000) if isinstance(value, float) else seconds
