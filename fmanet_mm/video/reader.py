"""Frames in: video files and folders of images."""

import logging
import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import VideoReformatter

from .clip_info import ClipInfo
from .clock import ContinuousClock
from .colour import (
    Orientation,
    depth,
    is_transparent,
    may_be_transparent,
    read_colours,
    to_rgb,
)
from .container import declared_size, exact, open_container
from .damage import DamageLog
from .frames import TimedFrame
from .image_files import holds_notes, read_profile
from .images import (
    decode_image,
    find_gaps,
    list_images,
    list_other_images,
    open_image,
    scale_depth,
)
from .interlace import deinterlace
from .options import DEFAULT_FPS, READ_DEFAULTS, ReadOptions
from .side_data import read_side_data
from .timestamps import fill_times

_LOGGER = logging.getLogger('fmanet_mm')
_MAX_INT = 2**31 - 1
_MAX_NAMED = 6
"""Most files or gaps that a message names."""
_MAX_RATE = 240
"""Most frames per second that are taken for the rate of a video."""
_LOST_WITH_FRAMES = {
    'A53_CC': 'closed captions',
    'DYNAMIC_HDR_PLUS': 'HDR10+ metadata',
    'DOVI_METADATA': 'Dolby Vision metadata',
    'DYNAMIC_HDR_VIVID': 'HDR Vivid metadata',
    'ICC_PROFILE': 'a colour profile',
    'SPHERICAL': 'the projection of 360 degree video',
    'STEREO3D': 'the arrangement of stereoscopic video',
}
"""Side data of frames that are not carried over, and what to call them."""


_Shown = tuple[Fraction | None, Fraction | None]
"""Timestamp and duration of a frame, in seconds."""


class FrameReader:
    """Base class of the readers; :func:`open_frames` returns one.

    A reader is a context manager and can be iterated once. It gives (H, W, 3) RGB
    arrays in display order, and holds no more than a few of them.

    Args:
        path (str | PathLike): The video file or folder of images.
        options (ReadOptions): Which frames to read, and how.

    Attributes:
        path (Path): As given.
        name (str): Name of the clip: of the folder, or of the file without suffix.
        fps (Fraction): Frames per second, the mean of a variable frame rate.
        height (int): Rows of a frame.
        width (int): Columns of a frame.
        dtype (np.dtype): Type of the frames: uint8, or uint16 that spans 0 to 65535.
        num_frames (int | None): Number of frames; for a video file an estimate from its
            header, or None if that does not allow one.
        info (ClipInfo): Facts for the file that is written from this one.
        last_duration (Fraction | None): Seconds for which the frame that was given
            last is shown; None if the source does not say.
    """

    path: Path
    name: str
    fps: Fraction
    height: int
    width: int
    dtype: np.dtype
    num_frames: int | None
    info: ClipInfo

    def __init__(self, path: str | os.PathLike, options: ReadOptions) -> None:
        self.path = Path(path)
        self._start = options.start or Fraction(0)
        self._end = options.end
        self._limits = options.limits
        self.last_duration = None
        self._reported: set[str] = set()
        self._options = options

    def __enter__(self) -> 'FrameReader':
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; no more frames can be read."""

    def estimate_num_frames(self) -> int:
        """The number of frames, counted roughly if :attr:`num_frames` is not known."""
        return self.num_frames or 1

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give the frames; see :meth:`timed`."""
        return (frame.image for frame in self.timed())

    def timed(self) -> Iterator[TimedFrame]:
        """Give the frames with their times.

        Yields:
            TimedFrame: Frame and time; times increase, and are 0 at the first frame of
            the complete video, whatever ``start`` is.

        Raises:
            ValueError: If a frame cannot be decoded or differs in size from the first,
                after all frames before it were given. The message has its number in
                the complete video, counted from 0.
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
        """Frames with their numbers in the complete video."""
        raise NotImplementedError

    def _warn_once(self, message: str, *values: Any) -> None:
        """Log a message, but only the first of its kind."""
        if message not in self._reported:
            self._reported.add(message)
            _LOGGER.warning(message, *values)

    def _report_alpha(self) -> None:
        self._warn_once('%s has an alpha channel, which is dropped', self.path)

    def _part(self) -> str:
        """Name in a message the part that is read."""
        start = f' from {float(self._start)} s' if self._start else ''
        end = '' if self._end is None else f' before {float(self._end)} s'
        return start + end


class VideoFileReader(FrameReader):
    """Reads a video file.

    The format is found from the content, not from the file's name. Only the file itself
    is read: playlists, which refer to other files or the network, are refused. Frames
    are rotated upright. Times come from the file; missing ones are interpolated.

    Args:
        path (str | PathLike): A local file.
        options (ReadOptions): Which frames to read, and how.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a video, none of its frames can be decoded, it exceeds
            the limits, or start and end leave nothing of it.
    """

    def __init__(self, path: str | os.PathLike, options: ReadOptions) -> None:
        super().__init__(path, options)
        self.name = self.path.stem
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video file {path}; check the path')
        self._file = open(self.path, 'rb')
        try:
            self._open(options)
        except Exception:
            self._file.close()
            raise

    def _open(self, options: ReadOptions) -> None:
        decoder_options = self._decoder_options()
        try:
            self._container = open_container(self._file, decoder_options)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(
                f'{self.path} is not a video file that can be read ({error.strerror}); '
                'it is damaged, truncated, no video, or a playlist, which is not '
                'followed; for images, name their folder'
            ) from error
        stream = self._stream = self._container.streams.best('video')
        if stream is None or Disposition.attached_pic in stream.disposition:
            raise ValueError(
                f'{self.path} holds no video; it is truncated, or has other data only'
            )
        context = stream.codec_context
        if context is None:
            raise ValueError(
                f'{self.path} holds video of an unknown codec; it is damaged, or must '
                'be converted with another tool first'
            )
        self._limits.check_size(self.path, context.height, context.width)
        self._tick = exact(stream.time_base or Fraction(1, av.time_base))
        stop = self._stop_time()
        if stop is not None:
            self._limits.check_duration(self.path, stop)
        context.options = decoder_options
        context.thread_count = 1  # With slice threads, damage in H.264 goes unnoticed.
        self.fps = exact(stream.average_rate or stream.guessed_rate or DEFAULT_FPS)
        self.num_frames = self._expected_frames()

        self._damage = DamageLog(self.path, options.stop_at_damage)
        self._last_timestamp = None
        frames = self._decode()
        first = next(frames)
        self._frames = chain([first], frames)
        self.height, self.width = first[1].image.shape[:2]
        self.info = ClipInfo(
            path=self.path,
            fps=self.fps,
            is_file=True,
            num_frames=self.num_frames,
            sample_aspect_ratio=self._sample_aspect_ratio,
            start=options.start,
            end=options.end,
            origin=self._origin,
            finest_rate=self._finest_rate(),
            colours=self._colours,
            files=(self.path,),
            reading=options.reading,
        )

    def close(self) -> None:
        """Release the file; no more frames can be read."""
        self._container.close()
        self._file.close()

    def estimate_num_frames(self) -> int:
        """See :meth:`FrameReader.estimate_num_frames`; packets are counted."""
        if self.num_frames is not None:
            return self.num_frames
        count = 0
        with open(self.path, 'rb') as file, open_container(file, {}) as container:
            stop = None if self._end is None else self._origin + self._end
            try:
                for packet in container.demux(self._stream.index):
                    if not packet.size:
                        continue
                    time = None if packet.pts is None else packet.pts * self._tick
                    if time is None or time >= self._origin + self._start:
                        count += time is None or stop is None or time < stop
            except av.FFmpegError:
                return max(1, count)
        return max(1, count)

    def _decoder_options(self) -> dict[str, str]:
        """Keep the decoder from allocating frames larger than the header declares.

        It rounds sizes up to blocks, so its limit is wider.
        """
        if self._limits.max_pixels is None:
            return {}
        return {'max_pixels': str(min(4 * self._limits.max_pixels, _MAX_INT))}

    def _stop_time(self) -> Fraction | None:
        """Time up to which frames must be decoded, None if the header lacks it."""
        times = []
        if self._stream.duration is not None:
            times.append(self._stream.duration * self._tick)
        elif self._container.duration is not None:
            times.append(Fraction(self._container.duration, av.time_base))
        if self._end is not None:
            times.append(self._end)
        return min(times, default=None)

    def _expected_frames(self) -> int | None:
        """Number of frames that will be given; None if the header may be wrong.

        Clocks that may restart make the duration wrong, and edit lists the number.
        """
        length = self._length()
        if length is None:
            return None
        counted = self._stream.frames
        if self._container.format.name.startswith('mov'):
            # Edit lists hide frames, which may be needed to decode others.
            entries = self._stream.index_entries
            counted = sum(not entry.is_discard for entry in entries) or counted
        is_complete = not self._start and self._end is None
        if counted and is_complete:
            is_likely = abs(counted - length * self.fps) <= max(2, counted // 50)
            return counted if is_likely else None
        if self._stream.base_rate != self._stream.average_rate:
            return None  # The rate varies.
        stop = length if self._end is None else min(self._end, length)
        return max(1, round((stop - self._start) * self.fps))

    def _length(self) -> Fraction | None:
        """Seconds that the video lasts, if the header can be trusted."""
        if ContinuousClock(self._container).enabled:
            return None
        begin = (self._stream.start_time or 0) * self._tick
        tag = self._stream.metadata.get('DURATION')
        if tag is not None and (end := _parse_duration(tag)) is not None:
            return end - begin
        # Matroska has one duration for all streams.
        is_own = not self._container.format.name.startswith('matroska')
        if self._stream.duration is not None and is_own:
            return self._stream.duration * self._tick
        if len(self._container.streams) == 1 and self._container.duration:
            return Fraction(self._container.duration, av.time_base) - begin
        return None

    def _finest_rate(self) -> Fraction:
        """Rate of the shortest steps between frames, if it is plausible."""
        finest = exact(self._stream.base_rate or self.fps)
        return finest if self.fps < finest <= _MAX_RATE else self.fps

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        return self._frames

    def _decode(self) -> Iterator[tuple[int, TimedFrame]]:
        """Decode up to the end; raise if that is damage."""
        reformatter = VideoReformatter()
        self._origin = None
        count = given = 0
        frames = self._decode_intact()
        if self._options.deinterlace == 'auto':
            frames = deinterlace(frames, self.path)
        timed = (((frame, length), time) for frame, (time, length) in frames)
        for (frame, length), timestamp in fill_times(timed, 1 / self.fps):
            if self._origin is None:
                self._origin = timestamp
                self._describe(frame)
            time = timestamp - self._origin
            if self._end is not None and time >= self._end:
                break
            self._limits.check_duration(self.path, time)
            if time >= self._start:
                self._limits.check_size(self.path, frame.height, frame.width)
                self.last_duration = self._duration_if_last(timestamp, length)
                yield count, TimedFrame(self._convert(frame, reformatter), time)
                given += 1
            count += 1
        else:
            self._check_end(count)
        if self._origin is not None:
            self._damage.report(self._origin, self._last_timestamp)
        if given == 0:
            raise ValueError(f'{self.path} holds no frames{self._part()}')

    def _duration_if_last(
        self, timestamp: Fraction, length: Fraction | None
    ) -> Fraction | None:
        """How long a frame is shown if no other follows it.

        In MP4 its own duration may be that of the frame that is decoded last.
        """
        stops = [] if length is None else [timestamp + length]
        if self._container.format.name.startswith('mov') and self._stream.duration:
            begin = self._stream.start_time or 0
            stops.append((begin + self._stream.duration) * self._tick)
        stop = max(stops, default=timestamp)
        if self._end is not None:
            stop = min(stop, self._origin + self._end)
        return stop - timestamp if stop > timestamp else None

    def _describe(self, first: av.VideoFrame) -> None:
        """Take from the first frame what all frames have in common."""
        is_deep = self._options.keep_depth and depth(first.format) > 8
        self._colours = read_colours(first, self._stream.codec_context)
        self.dtype = np.dtype(np.uint16 if is_deep else np.uint8)
        self._may_be_transparent = may_be_transparent(first.format)
        # Decoders of VP8 and VP9 do not show the alpha channel, which is beside.
        if self._stream.metadata.get('alpha_mode') == '1':
            self._report_alpha()
        ratio = exact(self._stream.sample_aspect_ratio or Fraction(1))
        is_sideways = Orientation.of(first).transpose
        self._sample_aspect_ratio = 1 / ratio if is_sideways else ratio

    def _convert(
        self, frame: av.VideoFrame, reformatter: VideoReformatter
    ) -> np.ndarray:
        try:
            if self._may_be_transparent and is_transparent(frame):
                self._may_be_transparent = False
                self._report_alpha()
            return to_rgb(frame, reformatter, self.dtype)
        except (av.FFmpegError, OSError) as error:
            raise ValueError(
                f'{self.path} has colours that cannot be converted to RGB (pixel '
                f'format {frame.format.name}, matrix {frame.colorspace}: '
                f'{error.strerror}); convert it to BT.709 with another tool first'
            ) from error

    def _check_end(self, count: int) -> None:
        """Raise a ValueError if the stream ended early."""
        reason = self._damage.last_reason(self._last_timestamp)
        if reason is None and self._is_truncated():
            reason = 'the file is truncated'
        if reason is None:
            return
        if self._origin is not None:
            self._damage.report(self._origin, self._last_timestamp)
        context = self._stream.codec_context
        self._limits.check_size(self.path, context.height, context.width)
        if context.width == 0 and self._limits.max_pixels is not None:
            reason += (
                f', or its frames are larger than max_pixels = '
                f'{self._limits.max_pixels}, a limit that can be changed'
            )
        raise ValueError(
            f'{self.path} ends at frame {count}: this and the frames after it cannot '
            f'be decoded ({reason})'
        )

    def _decode_intact(self) -> Iterator[tuple[av.VideoFrame, _Shown]]:
        """Frames that are not damaged, with timestamps and durations.

        Formats without presentation times, such as AVI, have decoding times, from which
        the decoder derives those of frames. An empty packet repeats a frame.
        """
        use_dts = None
        last = None
        self._durations, self._repeats = {}, deque()
        for frame in self._decode_packets():
            if use_dts is None:
                use_dts = frame.pts is None
            timestamp = frame.dts if use_dts else frame.pts
            if frame.is_corrupt:
                self._damage.add(self._seconds(timestamp), 'its data are damaged')
                if self._damage.is_over:
                    return
                continue
            yield from self._repeat(last, timestamp)
            last = frame
            self._report_lost(frame)
            yield frame, self._shown(timestamp)
        yield from self._repeat(last, None)

    def _shown(self, timestamp: int | None) -> _Shown:
        """Timestamp and duration of an intact frame in seconds."""
        time = self._seconds(timestamp)
        if time is not None:
            self._last_timestamp = max(time, self._last_timestamp or time)
        return time, self._seconds(self._durations.pop(timestamp, None) or None)

    def _repeat(
        self, frame: av.VideoFrame | None, before: int | None
    ) -> Iterator[tuple[av.VideoFrame, _Shown]]:
        """Give a frame again for each empty packet up to a timestamp."""
        while self._repeats and (before is None or self._repeats[0] < before):
            timestamp = self._repeats.popleft()
            if frame is not None:
                yield frame, self._shown(timestamp)

    def _seconds(self, ticks: int | None) -> Fraction | None:
        return None if ticks is None else ticks * self._tick

    def _decode_packets(self) -> Iterator[av.VideoFrame]:
        """Decode as far as possible; what fails is noted."""
        for packet in self._read_packets():
            ticks = packet.dts if packet.pts is None else packet.pts
            if packet.size == 0:
                if ticks is not None:
                    self._repeats.append(ticks)
                continue
            if packet.duration:
                self._durations[packet.pts] = packet.duration
            if packet.is_corrupt and not self._clock.enabled:
                self._damage.add(self._seconds(ticks), 'its data are incomplete')
            else:
                yield from self._decode_packet(packet, self._seconds(ticks))
            if self._damage.is_over:
                break
        yield from self._flush()

    def _decode_packet(
        self, packet: av.Packet, time: Fraction | None
    ) -> Iterator[av.VideoFrame]:
        """Decode a packet.

        A jump of the counters of a transport stream marks a packet that may be intact.
        """
        if packet.is_corrupt:
            if self._options.stop_at_damage:
                self._damage.add(time, 'its data are incomplete')
                return
            self._damage.add_jump(time)
            packet = _without_mark(packet)
        try:
            yield from self._stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            self._damage.add(time, error.strerror)

    def _read_packets(self) -> Iterator[av.Packet]:
        """The packets of the video; others only keep the clock."""
        self._clock = ContinuousClock(self._container)
        self._damage.restarts = self._clock.restarts
        try:
            for packet in self._container.demux(self._clock.streams(self._stream)):
                self._clock.correct(packet)
                if packet.stream_index == self._stream.index:
                    yield packet
        except av.FFmpegError as error:
            self._damage.add(None, error.strerror, is_last=True)

    def _flush(self) -> Iterator[av.VideoFrame]:
        """Frames that the decoder has buffered to bring them into display order."""
        try:
            yield from self._stream.codec_context.decode(None)
        except av.FFmpegError:
            return

    def _report_lost(self, frame: av.VideoFrame) -> None:
        """Log once what a frame carries that the output will lack."""
        for kind, name in _LOST_WITH_FRAMES.items():
            if kind not in self._reported and read_side_data(frame, kind) is not None:
                self._reported.add(kind)
                _LOGGER.warning('%s has %s, left out', self.path, name)

    def _is_truncated(self) -> bool:
        """Compare with the declared size; FFmpeg reports no error in some formats."""
        declared = declared_size(self.path)
        return declared is not None and self.path.stat().st_size < declared


class ImageFolderReader(FrameReader):
    """Reads a folder of images, ordered by the numbers in their names.

    Grey images become RGB; alpha is dropped, which is logged. Files of other kinds are
    ignored. The first image determines size and depth.

    Args:
        path (str | PathLike): A folder.
        options (ReadOptions): Which frames to read, and how.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If the first image cannot be read, the limits are exceeded, or start
            and end leave nothing.
    """

    def __init__(self, path: str | os.PathLike, options: ReadOptions) -> None:
        super().__init__(path, options)
        self.name = self.path.resolve().name
        self.fps = options.folder_fps
        images = list_images(self.path, options.pattern)
        # Frame i is shown at i / fps.
        self._first = ceil(self._start * self.fps)
        stop = len(images) if self._end is None else ceil(self._end * self.fps)
        self._images = images[self._first : stop]
        self._report_missing(options.pattern)
        if not self._images:
            raise ValueError(
                f'{self.path} holds no frames{self._part()}; its {len(images)} '
                f'images last {float(len(images) / self.fps)} s'
            )
        self.num_frames = len(self._images)
        self._limits.check_duration(
            self.path, (self._first + self.num_frames) / self.fps
        )
        self._to_srgb = options.to_srgb
        with open_image(self._images[0], self._limits) as header:
            first = decode_image(header, None, options.to_srgb)
            self._profile = None if options.to_srgb else read_profile(header)
        self.height, self.width = first.shape[:2]
        self.dtype = first.dtype if options.keep_depth else np.dtype(np.uint8)
        self.info = ClipInfo(
            path=self.path,
            fps=self.fps,
            is_file=False,
            num_frames=self.num_frames,
            start=options.start,
            end=options.end,
            stems=tuple(image.stem for image in self._images),
            icc_profile=self._profile,
            files=tuple(self._images),
            reading=options.reading,
        )

    def _numbered(self) -> Iterator[tuple[int, TimedFrame]]:
        for index, path in enumerate(self._images, self._first):
            try:
                image = self._read(path)
            except ValueError as error:
                message = f'{self.path} ends at frame {index}: {error}'
                raise ValueError(message) from error
            yield index, TimedFrame(image, index / self.fps)

    def _report_missing(self, pattern: str | None) -> None:
        """Log which images of the clip seem to be missing."""
        if gaps := find_gaps(self._images):
            _LOGGER.warning(
                '%s lacks the images numbered %s; the others follow each other',
                self.path,
                _list_some(gaps),
            )
        others = [] if pattern else list_other_images(self.path)
        if others:
            _LOGGER.warning(
                '%s holds %d images of formats that are not read, left out: %s',
                self.path,
                len(others),
                _list_some(others),
            )

    def _read(self, path: Path) -> np.ndarray:
        with open_image(path, self._limits) as header:
            if header.has_transparency_data:
                self._report_alpha()
            image = decode_image(header, None, self._to_srgb)
            if image.dtype > self.dtype and self._options.keep_depth:
                self._warn_once(
                    '%s has 16 bits, the first image 8; 8 are taken for all', path
                )
            if holds_notes(header):
                self._warn_once(
                    '%s has EXIF data, such as the date, which are left out', path
                )
            if not self._to_srgb and read_profile(header) != self._profile:
                self._warn_once(
                    '%s has another colour profile than the images before it, whose '
                    'profile is taken for all; --to-srgb converts each',
                    path,
                )
            return scale_depth(image, self.dtype)


def _list_some(names: list[str]) -> str:
    return ', '.join(names[:_MAX_NAMED] + ['...'] * (len(names) > _MAX_NAMED))


def _parse_duration(text: str) -> Fraction | None:
    """Read a time as Matroska has it in tags, such as 00:00:02.200000000."""
    try:
        hours, minutes, seconds = map(Fraction, text.split(':'))
    except ValueError:
        return None
    return 3600 * hours + 60 * minutes + seconds


def _without_mark(packet: av.Packet) -> av.Packet:
    """Copy a packet without its mark of being corrupt, which its frames would get."""
    clean = av.Packet(bytes(packet))
    clean.pts, clean.dts = packet.pts, packet.dts
    clean.duration, clean.time_base = packet.duration, packet.time_base
    return clean


def open_frames(
    path: str | os.PathLike, options: ReadOptions = READ_DEFAULTS
) -> FrameReader:
    """Open a video file or a folder of images.

    Args:
        path (str | PathLike): A local video file, a file with several images such as
            an animated WebP or a stack of TIFF pages, or a folder of images.
        options (ReadOptions): Which frames to read, and how.

    Returns:
        FrameReader: A context manager that gives (H, W, 3) uint8 or uint16 RGB arrays.

    Raises:
        FileNotFoundError: If there is no such file or folder, or no image in it.
        ValueError: If the file is not a video, its first frame cannot be read, the
            limits are exceeded, or start and end leave nothing.
    """
    if os.path.isdir(path):
        return ImageFolderReader(path, options)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f'there is no video file or folder of images {path}; check the path'
        )
    if not os.path.isfile(path):
        raise ValueError(
            f'{path} is a pipe or a device; a video is read more than once, so write '
            'it to a file first'
        )
    if options.pattern is not None:
        raise ValueError(
            f'pattern = {options.pattern!r} selects images of a folder, but {path} is '
            'a file'
        )
    from .animation import AnimationReader, is_animation  # which import this module

    if is_animation(path):
        return AnimationReader(path, options)
    return VideoFileReader(path, options)
