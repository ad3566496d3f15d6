"""Frames out: video files and folders of images."""

import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from errno import EACCES, ENOTDIR
from fractions import Fraction
from heapq import merge
from itertools import count
from math import ceil, inf
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from ..utils.names import check_name, same_place
from .clip_info import ClipInfo, Colours
from .colour import from_rgb
from .encoding import (
    Encoding,
    check_hdr,
    check_pixel_format,
    find_codec,
    find_options,
    find_pixel_format,
    find_tick,
)
from .formats import DEEP_IMAGE_SUFFIXES, NUMBERED, find_format
from .frames import check_image
from .image_files import embed_profile, is_srgb
from .options import DEFAULT_FPS, NO_RESUME, WRITE_DEFAULTS, Resume, WriteOptions
from .segments import NUM_FRAMES, Segments
from .spans import ALL, Part, Span, count_frames, missing
from .stream_copy import CopiedStreams, MuxError, TimeSpan
from .work_folder import WorkFolder

_LOGGER = logging.getLogger('fmanet_mm')
_MOVIE_TIMESCALE = 90_000
"""Ticks per second that keep audio in sync; FFmpeg would round to milliseconds."""
_MOST_IMAGES = 10**7
"""Most images of a folder that is written in parts."""


class FrameWriter:
    """Base class of the writers; :func:`open_writer` returns one.

    A writer is a context manager. It writes next to ``path`` and renames the result to
    ``path`` when the block ends without an error. After an error nothing is left,
    unless partial output is kept for another run.

    Args:
        path (str | PathLike): File or folder to write; its parent is created.
        source (ClipInfo, optional): The clip that the frames come from.
        resume (Resume): Whether to resume an earlier run, and to keep partial output.
        settings (Mapping[str, Any]): Further settings that both runs must share.
        part (Part, optional): The part that this process writes, if several processes
            write one output. The one that ends last completes it.

    Attributes:
        path (Path): As given.
        num_frames (int): Frames written so far, including those of an earlier run,
            which are counted when the block begins; with a part those of its span.
        missing (list[Span]): Frames that were not written when the block began.
        is_complete (bool): Whether the output has its name; with a part it has not
            while other processes are at work.
        early_end (str | None): Why the source ended early, if :meth:`note_end` said so
            in the process that saw it.

    Raises:
        ValueError: If ``path`` is the source; when the block begins, if there are
            frames of an earlier run that is not resumed or had other settings.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        source: ClipInfo | None,
        resume: Resume,
        settings: Mapping[str, Any],
        part: Part | None,
    ) -> None:
        self.path = Path(path)
        self.num_frames = 0
        self.missing: list[Span] = []
        self.is_complete = False
        self.early_end: str | None = None
        self._part = part
        self._next = 0
        self._last_duration = None
        self._target = self.path.resolve()
        check_name(self._target)
        if source is not None and same_place(source.path, self._target):
            raise ValueError(f'{path} is the input; choose another name for the output')
        if self._target.exists() and not (
            self._target.is_file() or self._target.is_dir()
        ):
            raise ValueError(f'{path} is a device, not a file; choose another name')
        self._size = None
        self._resume = resume
        self._folder = WorkFolder(
            self._target,
            resume.keep_partial,
            {**_source_settings(source), **settings, **resume.settings},
            part,
        )

    def check_free(self) -> None:
        """Raise what the beginning of the block would raise now.

        Raises:
            InUseError: If another run writes the same output.
            OSError: If its folder cannot be written to.
            ValueError: If there are frames of an earlier run that is not resumed, or a
                file is in the way.
        """
        place = self._target.parent
        while not os.path.lexists(place):
            place = place.parent
        if not os.path.isdir(place):
            raise self._explain(NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR)))
        if not os.access(place, os.W_OK | os.X_OK):
            raise self._explain(PermissionError(EACCES, os.strerror(EACCES)))
        self._folder.check(self._resume.enabled, self._adopt)

    def write(
        self,
        image: np.ndarray,
        time: Fraction | None = None,
        number: int | None = None,
    ) -> None:
        """Add a frame.

        Args:
            image (np.ndarray): (H, W, 3), RGB, uint8, or uint16 that spans 0 to 65535.
            time (Fraction, optional): When it is shown, in seconds since the first
                frame of the source; by default from the frame rate. Folders have no
                times.
            number (int, optional): Its number in the clip; by default that of the first
                missing frame, then the next. Other frames than the next are for the
                gaps that several processes have left, see ``missing``.

        Raises:
            ValueError: If it is not such an array, differs in size from the first, or
                is not shown after the frame before.
            OSError: If it cannot be written.
        """
        if number is not None and number != self._next:
            self._next = number
            self._seek()
        check_image(image, f'frame {self._next} for {self.path}', self._size)
        self._size = image.shape[:2]
        self._write(image, time)
        self._next += 1
        self.num_frames += 1

    def snap(self, time: Fraction) -> Fraction:
        """Round a time to one that the output can hold.

        To be called for all frames of the clip in order, including those that are not
        written, since frames that are too close push those after them.
        """
        return time

    def hold(self, duration: Fraction | None) -> None:
        """Set for how many seconds the last frame is shown; None for 1 / fps."""
        self._last_duration = duration

    def note_end(
        self, num_frames: int, duration: Fraction | None, error: Exception | None
    ) -> None:
        """Leave what is known of the clip's end to the process that completes it.

        Args:
            num_frames (int): Frames of the clip.
            duration (Fraction, optional): See :meth:`hold`.
            error (Exception, optional): Why the source ended early, if it did.
        """
        self._flush()  # The folder has one place for a draft.
        self._folder.note_end(
            dict(
                num_frames=num_frames,
                duration=None if duration is None else str(duration),
                error=None if error is None else str(error),
            )
        )

    def __enter__(self) -> 'FrameWriter':
        try:
            self._folder.open(self._resume.enabled, self._adopt)
        except OSError as error:
            raise self._explain(error) from error
        try:
            self._begin_block()
        except BaseException:
            self._folder.release()
            raise
        return self

    def _begin_block(self) -> None:
        """Find what is left to write."""
        span, is_resumed = ALL, self._adopt() > 0
        if self._part is not None:
            span = self._part.span
            end = self._folder.read_end()
            if end is not None:
                span = Span(span.first, min(span.stop, end['num_frames']))
        self.missing = missing(self._written(), span)
        self.num_frames = count_frames(self._written(), span)
        self._next = self.missing[0].first if self.missing else int(span.stop)
        self._seek()
        if is_resumed:
            self._continue()

    def __exit__(self, exc_type: type | None, *exc_info) -> None:
        try:
            if exc_type is not None:
                self._interrupt()
            else:
                self._finish_or_interrupt()
        finally:
            self._folder.release()

    def _finish_or_interrupt(self) -> None:
        try:
            self._finish()
        except BaseException:
            self._interrupt()
            raise

    def _finish(self) -> None:
        if self._part is not None:
            self._finish_part()
            return
        if self.num_frames == 0:
            raise ValueError(f'no frames were given for {self.path}')
        self._deliver()

    def _deliver(self) -> None:
        try:
            self._folder.deliver(self._complete(), self._target)
        except OSError as error:
            raise self._explain(error) from error
        self.is_complete = True

    def _finish_part(self) -> None:
        """Complete the output if all parts are there."""
        self._flush()
        with self._folder.alone() as is_there:
            end = self._folder.read_end() if is_there else None
            if end is None or not self._adopt():
                return
            num_frames = end['num_frames']
            if missing(self._written(), Span(0, num_frames)):
                return
            self._continue()
            self.num_frames = num_frames
            self.early_end = end['error']
            self.hold(end['duration'] and Fraction(end['duration']))
            self._deliver()

    def _interrupt(self) -> None:
        """Save or discard partial output; an exception is propagating."""
        num_frames = self._save() if self._folder.keep else 0
        if num_frames == 0:
            self._discard()
            return
        _LOGGER.warning(
            '%s is not complete; %d frames are kept in %s; resume with --resume, or '
            'Resume(enabled=True)',
            self.path,
            num_frames,
            self._folder.path,
        )

    def _explain(self, error: OSError) -> OSError:
        """Report the output path, not the temporary one."""
        return OSError(error.errno, f'{self.path} cannot be written: {error.strerror}')

    def _adopt(self) -> int:
        """Find the frames of an earlier run; return their number."""
        raise NotImplementedError

    def _written(self) -> list[Span]:
        """Frames that were adopted, in order."""
        raise NotImplementedError

    def _continue(self) -> None:
        """Prepare for writing after adopted frames."""

    def _seek(self) -> None:
        """Prepare for writing a frame that does not follow the one before."""

    def _flush(self) -> None:
        """Write buffered frames to the folder."""

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        raise NotImplementedError

    def _complete(self) -> Path:
        """Write buffered frames; return the path of the result."""
        raise NotImplementedError

    def _save(self) -> int:
        """Save the frames written so far; return the number that could be saved."""
        raise NotImplementedError

    def _discard(self) -> None:
        if self._part is None:
            self._folder.discard()
            return
        with self._folder.alone() as is_there:
            if is_there and self._folder.leave():
                self._folder.discard()


class VideoFileWriter(FrameWriter):
    """Writes a video file, by default H.264, or VP9 in WebM.

    Frames are encoded in segments that are joined at the end without encoding them
    again. If the source is a video file, its timestamps are kept as exactly as the
    container can, its audio and subtitles are copied, cut to its start and end, and its
    sample aspect ratio, chapters and tags are kept.

    Args:
        path (str | PathLike): File to write; its suffix determines the container. An
            existing file is replaced at the end.
        source (ClipInfo, optional): The clip that the frames come from.
        options (WriteOptions): How to encode.
        resume (Resume): See :class:`FrameWriter`. The frames that are kept can also be
            played, as the file ``<stem>.partial<suffix>``, which gets a number if
            there is another file of that name.
        fps (Fraction | float, optional): Frames per second, the mean of a variable
            rate; by default those of the source, or 25.
        part (Part, optional): See :class:`FrameWriter`. Frames of a part are not
            joined for players.

    Raises:
        ValueError: If no supported container has the suffix, or codec, crf or pixel
            format are unknown or do not fit.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        source: ClipInfo | None,
        options: WriteOptions,
        resume: Resume,
        fps: Fraction | float | None,
        part: Part | None = None,
    ) -> None:
        if fps is None:
            fps = DEFAULT_FPS if source is None else source.fps
        self.fps = Fraction(fps).limit_denominator(65536)
        self._format = find_format(path)
        self._rate = self.fps
        if self._format == 'avi' and source is not None and source.finest_rate:
            self._rate = source.finest_rate  # Empty packets fill longer steps.
        self._colours = source.colours if source else Colours()
        hdr = self._colours.hdr
        self._codec = find_codec(self._format, options.codec, hdr is not None)
        self._codec_options = find_options(self._codec, options.crf)
        if options.pixel_format is not None:
            check_pixel_format(self._codec, options.pixel_format)
        if hdr is not None:
            check_hdr(self._format, self._codec, options.pixel_format, hdr)
        self._pixel_format = options.pixel_format
        settings = dict(
            fps=self.fps,
            codec=self._codec,
            crf=self._codec_options.get('crf'),
            pixel_format=options.pixel_format,
            pyav=av.__version__,
        )
        super().__init__(path, source, resume, settings, part)
        if (
            source is not None
            and source.icc_profile
            and not is_srgb(source.icc_profile)
        ):
            _LOGGER.warning(
                '%s has no place for the colour profile of %s; --to-srgb converts the '
                'images',
                path,
                source.path,
            )
        self._segments = Segments(
            self._folder, NUM_FRAMES if self._folder.keep else None
        )
        self._source = source if source is not None and source.is_file else None
        self._source_bytes = self._source and self._source.path.stat().st_size
        self._start = (source and source.start) or Fraction(0)
        self._sample_aspect_ratio = (
            source.sample_aspect_ratio if source else Fraction(1)
        )
        self._is_cut = source is not None and source.start is not None
        self._plan = None
        self._tick = self._inspect_source()
        self._reformatter = VideoReformatter()
        self._encoding = None
        self._last = None
        self._last_time = None
        self._snapped: int | None = None

    def _inspect_source(self) -> Fraction:
        """Plan what becomes of its streams; return the unit of time to write in."""
        if self._source is None:
            return find_tick(self._format, self._codec, self._rate)
        with CopiedStreams(self._source.path, self._format) as streams:
            tick = find_tick(self._format, self._codec, self._rate, streams.tick)
            plan = streams.plan(self._source.origin, self._is_cut, tick)
            left_out = streams.describe(plan.left_out) + streams.lost_tags(plan)
            converted = streams.describe(list(plan.converted))
        if left_out:
            _LOGGER.warning(
                '%s cannot hold all of %s, so this is left out: %s',
                self.path,
                self._source.path,
                ', '.join(left_out),
            )
        if converted:
            _LOGGER.warning(
                '%s cannot hold all audio of %s as it is, so this is converted to '
                '%s, without loss: %s',
                self.path,
                self._source.path,
                ' and '.join(sorted(set(plan.converted.values()))),
                ', '.join(converted),
            )
        self._plan = plan
        return tick

    def _adopt(self) -> int:
        return self._segments.adopt()

    def _written(self) -> list[Span]:
        return self._segments.spans

    def _continue(self) -> None:
        height, width, pixel_format, last = self._segments.describe()
        self._size = height, width
        self._encoding = self._encode_as(self._pixel_format or pixel_format)
        if missing(self._written(), ALL) == [Span(self._next, inf)]:
            self._last = round(last / self._tick)

    def _seek(self) -> None:
        self._segments.seek(self._next)
        self._last = self._last_time = None

    def _flush(self) -> None:
        self._segments.close()

    def snap(self, time: Fraction) -> Fraction:
        """See :meth:`FrameWriter.snap`."""
        ticks = round(time / self._tick)
        if self._snapped is not None:
            ticks = max(ticks, self._snapped + 1)
        self._snapped = ticks
        return ticks * self._tick

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        try:
            if self._encoding is None:
                is_hdr = self._colours.hdr is not None
                self._begin(is_hdr or image.dtype == np.uint16)
            picture = from_rgb(
                image,
                self._encoding.pixel_format,
                self._reformatter,
                self._encoding.matrix,
            )
            picture.pts = self._to_ticks(time)
            picture.time_base = self._tick
            self._segments.write(picture, self._encoding)
        except OSError as error:
            raise self._explain(error) from error
        self._last = picture.pts

    def _begin(self, is_deep: bool) -> None:
        """Choose the encoding, and check that it is possible."""
        encoding = self._encode_as(
            self._pixel_format or find_pixel_format(self._codec, *self._size, is_deep)
        )
        try:
            encoding.check_container()
        except ValueError as error:
            raise ValueError(f'{self.path} cannot be written: {error}') from error
        if not encoding.keeps_aspect:
            _LOGGER.warning(
                '%s will be shown in the wrong shape: %s in %s does not store the '
                'sample aspect ratio %s; .mp4 does',
                self.path,
                self._codec,
                self._target.suffix,
                self._sample_aspect_ratio,
            )
        if not encoding.keeps_colours:
            _LOGGER.warning(
                '%s does not declare its colours (primaries %d, transfer %d of ITU-T '
                'H.273), which players need: %s in %s does not store them; .mp4 does',
                self.path,
                *self._colours[:2],
                self._codec,
                self._target.suffix,
            )
        if not encoding.keeps_mastering:
            _LOGGER.warning(
                '%s does not store the mastering display and light levels of %s, '
                'which are left out: %s has no place for them, libx265 has',
                self.path,
                self._source.path,
                self._codec,
            )
        self._encoding = encoding

    def _encode_as(self, pixel_format: str) -> Encoding:
        return Encoding(
            format=self._format,
            codec=self._codec,
            options=self._codec_options,
            pixel_format=pixel_format,
            height=self._size[0],
            width=self._size[1],
            fps=self._rate,
            tick=self._tick,
            sample_aspect_ratio=self._sample_aspect_ratio,
            colours=self._colours,
        )

    def _to_ticks(self, time: Fraction | None) -> int:
        """Round a time to ticks, at least one after the frame before."""
        if time is None:
            time = self._start + self._next / self.fps
        if self._last_time is not None and time <= self._last_time:
            raise ValueError(
                f'frame {self._next} for {self.path} is to be shown at '
                f'{float(time)} s, the one before at {float(self._last_time)} s; times '
                'must increase'
            )
        self._last_time = time
        ticks = round(time / self._tick)
        return ticks if self._last is None else max(ticks, self._last + 1)

    def _complete(self) -> Path:
        self._segments.close()
        return self._join()

    def _join(self, is_partial: bool = False) -> Path:
        """Join the segments and the other streams of the source into a file.

        A stream that cannot be written after all is left out.
        """
        result = self._folder.path / f'joined{self._target.suffix}'
        if self._source is not None and self._is_source_gone():
            _LOGGER.warning(
                '%s was removed or shortened while it was restored: %s has its '
                'picture, but no audio, subtitles and tags',
                self._source.path,
                self.path,
            )
            self._source = None
        if self._source is None:
            with self._open_result(result, {}) as container:
                stream = self._encoding.add_to(container)
                container.mux(self._video_packets(stream))
            return result
        while True:
            with CopiedStreams(self._source.path, self._format, self._plan) as streams:
                try:
                    self._join_source(result, streams, is_partial)
                    return result
                except MuxError as error:
                    _LOGGER.warning(
                        '%s of %s cannot be written to %s (%s) and is left out',
                        *streams.describe([error.index]),
                        self._source.path,
                        self.path,
                        error.reason,
                    )
                    self._plan = self._plan.drop(error.index)

    def _is_source_gone(self) -> bool:
        """Whether the source cannot be what was read, even if it has grown since."""
        try:
            status = self._source.path.stat()
        except OSError:
            return True
        return status.st_size < self._source_bytes

    def _open_result(
        self, path: Path, options: Mapping[str, str]
    ) -> av.container.OutputContainer:
        return av.open(
            str(path),
            'w',
            format=self._format,
            container_options={**_container_options(self._format), **options},
        )

    def _join_source(
        self, result: Path, streams: CopiedStreams, is_partial: bool
    ) -> None:
        first, last = self._segments.times()
        end = last + 1 / self.fps if is_partial else self._source.end
        zero = self._source.origin + first
        lead = 0 if self._is_cut else ceil(self._plan.lead(zero) / self._tick)
        span = TimeSpan(
            zero=zero - lead * self._tick,
            # In AVI all streams begin at the same time.
            is_cut=self._is_cut or self._format == 'avi',
            end=None if end is None else end - first + lead * self._tick,
        )
        with self._open_result(result, streams.container_options()) as container:
            stream = self._encoding.add_to(container)
            streams.add_to(container, stream, span)
            container.start_encoding()
            for packet in merge(
                self._video_packets(stream, lead),
                streams.packets(span),
                key=_decoding_time,
            ):
                source = streams.source_of(packet)
                try:
                    container.mux(packet)
                except av.FFmpegError as error:
                    if source is None:
                        raise
                    raise MuxError(source, error.strerror) from error

    def _video_packets(
        self, stream: av.VideoStream, lead: int = 0
    ) -> Iterator[av.Packet]:
        duration = self._last_duration or 1 / self.fps
        packets = self._segments.join(stream, self._tick, duration, lead)
        return _pad_avi(packets) if self._format == 'avi' else packets

    def _save(self) -> int:
        """Close the open segment, and join the closed ones so they can be played."""
        try:
            self._segments.close()
        except (OSError, ValueError) as error:
            _LOGGER.warning('the last frames of %s are lost: %s', self.path, error)
        if self._part is not None:
            return self._adopt()
        if self._segments.num_frames:
            self._save_playable()
        return self._segments.num_frames

    def _save_playable(self) -> None:
        try:
            playable = self._folder.publish_playable(self._join(is_partial=True))
        except (OSError, ValueError) as error:
            _LOGGER.warning(
                'the frames of %s written so far are kept, but cannot be played: %s',
                self.path,
                error,
            )
            return
        _LOGGER.warning(
            'the frames of %s written so far can be played as %s', self.path, playable
        )

    def _discard(self) -> None:
        self._segments.abandon()
        super()._discard()


class ImageFolderWriter(FrameWriter):
    """Writes a folder of images.

    Args:
        path (str | PathLike): Folder to write. An existing folder must be empty, so
            that frames of two clips are never mixed.
        source (ClipInfo, optional): See :class:`FrameWriter`.
        options (WriteOptions): Names of the images.
        resume (Resume): See :class:`FrameWriter`.
        part (Part, optional): See :class:`FrameWriter`.

    Raises:
        ValueError: If there are files in the folder, or ``path`` is a file; while
            writing, if two names are the same or a suffix is of no image format.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        source: ClipInfo | None,
        options: WriteOptions,
        resume: Resume,
        part: Part | None = None,
    ) -> None:
        super().__init__(path, source, resume, {}, part)
        if self.path.is_file():
            raise ValueError(f'{path} is a file, expected a folder to write images to')
        if self.path.is_dir() and any(self.path.iterdir()):
            raise ValueError(
                f'the folder {path} is not empty; empty it or choose another, so that '
                'the frames of two clips are not mixed (for a video in it, name the '
                f'file, such as {self.path / "name.mp4"})'
            )
        self._profile = source.icc_profile if source else None
        self._images = self._folder.path / 'images'
        self._filenames = iter(options.filenames or map(NUMBERED.format, count()))
        self._names: list[str] = []

    def _adopt(self) -> int:
        return len(list(self._images.glob('*')))

    def _written(self) -> list[Span]:
        names = {path.name for path in self._images.glob('*')}
        if not self._folder.has_parts:
            return [Span(0, len(names))] if names else []
        spans: list[Span] = []
        for number in range(_MOST_IMAGES):
            if not names:
                break
            name = self._name(number)
            if name in names:
                names.remove(name)
                first = (
                    spans.pop().first if spans and spans[-1].stop == number else number
                )
                spans.append(Span(first, number + 1))
        return spans

    def _name(self, number: int) -> str:
        """Name of the image of a number."""
        while len(self._names) <= number:
            self._names.append(next(self._filenames))
        return self._names[number]

    def _write(self, image: np.ndarray, time: Fraction | None) -> None:
        name = self._name(self._next)
        if (self._images / name).exists():
            raise ValueError(f'two frames of {self.path} would be named {name}')
        suffix = Path(name).suffix
        if not cv2.haveImageWriter(f'image{suffix}'):
            raise ValueError(
                f'{name} is not a name for an image; use a suffix such as .png'
            )
        if image.dtype == np.uint16 and suffix.lower() not in DEEP_IMAGE_SUFFIXES:
            image = cv2.convertScaleAbs(image, alpha=255 / 65535)
        _, encoded = cv2.imencode(suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        data = self._with_profile(encoded.tobytes(), suffix)
        try:
            self._images.mkdir(exist_ok=True)
            self._folder.write(f'images/{name}', data)
        except OSError as error:
            raise self._explain(error) from error

    def _with_profile(self, data: bytes, suffix: str) -> bytes:
        if self._profile is None:
            return data
        with_profile = embed_profile(data, suffix, self._profile)
        if with_profile is None:
            self._profile = None
            _LOGGER.warning(
                'the images in %s have no colour profile, which is only kept in PNG '
                'and JPEG; --to-srgb converts them',
                self.path,
            )
            return data
        return with_profile

    def _complete(self) -> Path:
        return self._images

    def _save(self) -> int:
        return self._adopt()


def open_writer(
    path: str | os.PathLike,
    source: ClipInfo | None = None,
    options: WriteOptions = WRITE_DEFAULTS,
    resume: Resume = NO_RESUME,
    fps: Fraction | float | None = None,
    part: Part | None = None,
) -> FrameWriter:
    """Open a video file or a folder of images for writing.

    Args:
        path (str | PathLike): A file name with the suffix of a video container, or a
            folder, which has no suffix unless it exists or ends in a slash. A link is
            followed.
        source (ClipInfo, optional): The clip that the frames come from, ``info`` of its
            reader. From a video file, audio, subtitles and tags are copied.
        options (WriteOptions): How to encode, or how to name the images.
        resume (Resume): Whether to keep partial output in the folder
            ``.<name>.partial`` next to the output, and whether to resume an earlier run
            that did: ``num_frames`` of the writer exist already, and the next frame to
            write is the one with that number.
        fps (Fraction | float, optional): Frames per second of a video file; by default
            those of the source, or 25.
        part (Part, optional): The part that this process writes, if several processes
            write one output; then partial output is always kept.

    Returns:
        FrameWriter: A context manager with ``write``.

    Raises:
        ValueError: If no supported container has the suffix, codec, crf or pixel format
            do not fit, the folder is not empty, or the output is the source; when the
            block begins, if there is an earlier run that is not resumed.
    """
    is_folder = os.fspath(path).endswith((os.sep, '/'))
    path = Path(path)
    if is_folder or os.path.isdir(path) or not path.suffix:
        return ImageFolderWriter(path, source, options, resume, part)
    return VideoFileWriter(path, source, options, resume, fps, part)


def _source_settings(source: ClipInfo | None) -> dict[str, Any]:
    """What must be the same about the source in a run that resumes another."""
    if source is None:
        return {}
    return dict(
        source.reading,
        source=source.path.resolve(),
        num_frames=source.num_frames,
        source_files=_identify(source.files),
    )


def _identify(files: Sequence[Path]) -> str:
    """Describe files so that others, or the same ones changed, differ."""
    digest, total, latest = hashlib.sha256(), 0, 0
    for path in files:
        status = path.stat()
        # Some file systems forget fractions of seconds.
        changed = int(status.st_mtime)
        digest.update(os.fsencode(path.name))
        digest.update(f'/{status.st_size}/{changed}/'.encode())
        total, latest = total + status.st_size, max(latest, changed)
    when = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(latest))
    return (
        f'{len(files)} of {total} bytes, changed {when} UTC, checksum '
        f'{digest.hexdigest()[:8]}'
    )


def _container_options(format: str) -> dict[str, str]:
    if format in ('mp4', 'mov'):
        return {'movie_timescale': str(_MOVIE_TIMESCALE)}
    return {}


def _pad_avi(packets: Iterator[av.Packet]) -> Iterator[av.Packet]:
    """Fill the time before and during pictures with empty packets.

    AVI has no times, only packets at a constant rate.
    """
    stop = 0
    for packet in packets:
        yield from (_empty_packet(packet, time) for time in range(stop, packet.dts))
        stop = packet.dts + packet.duration
        shown = packet.dts + 1
        yield packet
        yield from (_empty_packet(packet, time) for time in range(shown, stop))


def _empty_packet(template: av.Packet, time: int) -> av.Packet:
    packet = av.Packet(b'')
    packet.stream, packet.time_base = template.stream, template.time_base
    packet.pts = packet.dts = time
    packet.duration = 1
    return packet


def _decoding_time(packet: av.Packet) -> Fraction:
    ticks = packet.pts if packet.dts is None else packet.dts
    return ticks * packet.time_base
