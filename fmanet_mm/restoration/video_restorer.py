"""Restoring videos, from file to file."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import count, groupby, tee
from math import inf
from operator import attrgetter
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config
from torch import Tensor

from ..utils.background import BackgroundSink, prefetch
from ..video.clip_info import ClipInfo
from ..video.frames import TimedFrame, check_image
from ..video.options import ReadOptions, Resume, WriteOptions
from ..video.reader import FrameReader, open_frames
from ..video.scenes import number_shots, split_shots
from ..video.segments import NUM_FRAMES
from ..video.spans import Part, Span
from ..video.writer import open_writer
from .images import shrink, to_pixels, to_tensor
from .loading import load_config, load_restorer
from .protocol import ClipRestorer
from .transfer import Transfers

QUEUED_FRAMES = 4
"""Frames that wait between decoder and network, and between network and encoder."""


class RestoredVideo(NamedTuple):
    """A video that was written.

    Attributes:
        path (Path): The video file or the folder of images.
        num_frames (int): Its number of frames.
    """

    path: Path
    num_frames: int


class EndedEarlyError(ValueError):
    """A damaged video was restored up to the damage.

    Attributes:
        restored (RestoredVideo): The part that was written.
    """

    def __init__(self, reason: ValueError, restored: RestoredVideo) -> None:
        super().__init__(
            f'{reason}. The {restored.num_frames} frames before it were restored to '
            f'{restored.path}'
        )
        self.restored = restored


class NotFiniteError(ValueError):
    """A network gave values that are NaN or infinite."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f'{name} cannot be restored: the network gives values that are NaN or '
            'infinite, in fp32 too; its weights are damaged or the training failed, so '
            'use another checkpoint'
        )


class IntactFrames:
    """Frames up to the first that cannot be read, whose error is kept.

    So the frames before the damage are restored and not lost.

    Args:
        source (FrameReader): The clip.

    Attributes:
        error (ValueError | None): Why the clip ended early, if it did.
        num_frames (int | None): Number of frames, once all have been read.
    """

    def __init__(self, source: FrameReader) -> None:
        self._source = source
        self.error: ValueError | None = None
        self.num_frames: int | None = None

    def __iter__(self) -> Iterator[TimedFrame]:
        num_frames = 0
        try:
            for frame in self._source.timed():
                yield frame
                num_frames += 1
        except ValueError as error:
            self.error = error
        self.num_frames = num_frames

    def shots(self, detect_scenes: bool) -> Iterable[Iterable[TimedFrame]]:
        """The shots of the clip; one, if scene cuts are not looked for."""
        return split_shots(self) if detect_scenes else [self]

    def numbered(self, detect_scenes: bool) -> Iterator[tuple[int, TimedFrame]]:
        """The frames with the number of their shot."""
        return number_shots(self) if detect_scenes else ((0, frame) for frame in self)


class _Input(NamedTuple):
    """A frame to restore, or in the context of one.

    Attributes:
        run (tuple[int, int]): The same for frames that are restored together: the
            number of their shot, and of the frames left out before them.
        number (int): Its number in the clip.
        frame (TimedFrame): The frame.
        upload (Callable): Gives it as a tensor on the device.
    """

    run: tuple[int, int]
    number: int
    frame: TimedFrame
    upload: Callable[[], Tensor]


class _Output(NamedTuple):
    """A restored frame.

    Attributes:
        image (Callable): Waits for it, and gives it as an array.
        time (Fraction): When it is shown.
        number (int): Its number in the clip.
    """

    image: Callable[[], np.ndarray]
    time: Fraction
    number: int


@dataclass(frozen=True)
class RestoreOptions:
    """How a video is restored.

    Args:
        scale (float, optional): Size of the result relative to the input, above 1 and
            at most the network's, whose output is shrunk by averaging areas.
        detect_scenes (bool): Whether to look for scene cuts, across which frames do
            not influence each other.
        read (ReadOptions): Which frames are read.
        write (WriteOptions): How they are written.
        resume (Resume): Whether partial output is kept, and an interrupted run resumed.
    """

    scale: float | None = None
    detect_scenes: bool = True
    read: ReadOptions = ReadOptions()
    write: WriteOptions = WriteOptions()
    resume: Resume = field(default_factory=Resume)


class VideoRestorer:
    """Restores videos of any length by a clip restorer.

    Args:
        restorer (ClipRestorer): Applies a network to the shots of a video.
        settings (Mapping[str, Any], optional): What determines its output, such as the
            checksum of its weights. A run can only be resumed with the same settings.

    Attributes:
        restorer (ClipRestorer): As given.
        scale (int): Ratio of its output's size to its input's, s.
    """

    def __init__(
        self, restorer: ClipRestorer, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.restorer = restorer
        self.scale = restorer.scale
        self._transfers = Transfers(restorer.device)
        self._settings = dict(settings or {})

    @classmethod
    def load(
        cls,
        checkpoint: str | PathLike | None,
        config: str | PathLike | Config | None = None,
        *,
        dtype: str = 'fp32',
        **options: Any,
    ) -> 'VideoRestorer':
        """Load a network; see :func:`~fmanet_mm.restoration.load_restorer`.

        Args:
            checkpoint (str | PathLike, optional): A checkpoint or an exported network;
                None for a network without weights.
            config (str | PathLike | Config, optional): Config of a checkpoint.
            dtype (str): ``'fp32'``, ``'bf16'`` or ``'fp16'``.
            **options: ``device``, ``memory_budget`` and ``trusted``.

        Raises:
            FileNotFoundError: If the config or the checkpoint is missing.
            ImportError: If the network needs a package that is not installed.
            ValueError: If there is no checkpoint or it does not fit the config, the
                network restores no video, or an option is out of range.
        """
        config = load_config(config)
        restorer = load_restorer(checkpoint, config, dtype=dtype, **options)
        settings = dict(
            checkpoint=_checksum_of_file(checkpoint) if checkpoint else None,
            config=None if config is None else _checksum_of_network(config),
            dtype=dtype,
        )
        return cls(restorer, settings)

    def restore_frames(
        self, frames: Iterable[np.ndarray], scale: float | None = None
    ) -> Iterator[np.ndarray]:
        """Restore the frames of one shot.

        Args:
            frames (Iterable[np.ndarray]): Blurry LR frames in order, (H, W, 3), uint8
                or uint16 of the full range, RGB. They are read no further ahead than
                the network needs, and a GPU for a batch of small frames.
            scale (float, optional): See :class:`RestoreOptions`.

        Returns:
            Iterator[np.ndarray]: For every frame a sharp one, (sH, sW, 3), RGB, of the
            same type; with ``scale`` (round(scale * H), round(scale * W), 3).

        Raises:
            ValueError: If ``scale`` is out of range; while iterating, if a frame is no
                such array, has another size than the first, or cannot be restored to
                finite values.
        """
        self.check_scale(scale)
        return self._restore_frames(frames, scale, map('frame {}'.format, count()))

    def restore_video(
        self,
        src: str | PathLike,
        dst: str | PathLike,
        options: RestoreOptions = RestoreOptions(),  # noqa: B008
        progress: Callable[[int, int | None], None] | None = None,
    ) -> RestoredVideo:
        """Restore a video file or a folder of images to either.

        Every frame gives a frame, with its time; audio and subtitles of a video file
        are copied into a video file. Frames are decoded and encoded in threads of their
        own, which end with the call.

        Args:
            src (str | PathLike): A video file or a folder of images.
            dst (str | PathLike): The file or folder to write; see
                :func:`~fmanet_mm.video.writer.open_writer`. It appears when it is
                complete.
            options (RestoreOptions): How to restore it.
            progress (Callable, optional): Called with the number of frames that are
                written, and that of all or None, first and after each frame, by the
                thread that writes. What it raises ends the run.

        Returns:
            RestoredVideo: The output.

        Raises:
            FileNotFoundError: If there is no ``src``, or no image in it.
            ValueError: If an option is out of range, ``src`` cannot be read or ``dst``
                not be written.
            EndedEarlyError: If ``src`` is damaged, after the frames before the damage
                were restored and written.
        """
        restored = self._restore(src, dst, options, progress, None)
        assert restored is not None
        return restored

    def restore_part(
        self,
        src: str | PathLike,
        dst: str | PathLike,
        part: Part,
        options: RestoreOptions = RestoreOptions(),  # noqa: B008
        progress: Callable[[int, int | None], None] | None = None,
    ) -> RestoredVideo | None:
        """Restore the part of a video that is this process's.

        Several processes, on one or more computers that share the folder of the
        output, restore a part each; the one that ends last joins them. The output is
        that of :meth:`restore_video`. All frames up to those of the part are decoded,
        so that shots are the same. If the network restores complete clips only, the
        last process does all.

        Partial output is always kept. If a process fails, the parts of the others
        remain, and any number of processes that resume restore what is missing.

        Args:
            src (str | PathLike): See :meth:`restore_video`.
            dst (str | PathLike): See :meth:`restore_video`.
            part (Part): Which of the processes this is.
            options (RestoreOptions): The same in all processes.
            progress (Callable, optional): Called with the numbers of frames of the
                part; see :meth:`restore_video`.

        Returns:
            RestoredVideo | None: The output; None if other processes are at work.

        Raises:
            The same as :meth:`restore_video`; EndedEarlyError in the process that joins
            the parts.
        """
        return self._restore(src, dst, options, progress, part)

    def _restore(
        self,
        src: str | PathLike,
        dst: str | PathLike,
        options: RestoreOptions,
        progress: Callable[[int, int | None], None] | None,
        part: Part | None,
    ) -> RestoredVideo | None:
        self.check_scale(options.scale)
        report = _report_plausible(progress)
        with open_frames(src, replace(options.read, keep_depth=True)) as source:
            if part is not None:
                is_divisible = self.restorer.context is not None
                num_frames = source.estimate_num_frames() if is_divisible else 1
                part = part.of(num_frames, NUM_FRAMES)
                if part is None:
                    return None
            frames = IntactFrames(source)
            with open_writer(
                dst,
                source.info,
                _with_names(options.write, source.info),
                replace(options.resume, settings=self._settings_of(options)),
                part=part,
            ) as writer:
                total = _num_frames_of(part, source.info.num_frames)
                report(writer.num_frames, total)

                def write(output: _Output) -> None:
                    writer.write(output.image(), output.time, output.number)
                    report(writer.num_frames, total)

                shots = frames.numbered(options.detect_scenes)
                inputs = self._inputs(shots, writer.missing, writer.snap)
                outputs = self._outputs(
                    inputs, writer.missing, options.scale, source.path
                )
                with (
                    BackgroundSink(write, QUEUED_FRAMES) as sink,
                    closing(outputs),
                ):
                    for output in outputs:
                        sink.put(output)
                if part is None:
                    writer.hold(source.last_duration)
                elif frames.num_frames is not None:
                    writer.note_end(
                        frames.num_frames, source.last_duration, frames.error
                    )
                report(writer.num_frames, writer.num_frames)
        if not writer.is_complete:
            return None
        restored = RestoredVideo(Path(dst), writer.num_frames)
        if part is not None and writer.early_end is not None:
            raise EndedEarlyError(ValueError(writer.early_end), restored)
        if part is None and frames.error is not None:
            raise EndedEarlyError(frames.error, restored) from frames.error
        return restored

    def check_scale(self, scale: float | None) -> None:
        """Refuse a final size that the network does not give.

        Raises:
            ValueError: If it is not within 1 < scale <= s.
        """
        if scale is not None and not 1 < scale <= self.scale:
            raise ValueError(
                f'scale must be above 1 and at most {self.scale}, which the network '
                f'gives, got {scale}'
            )

    def _settings_of(self, options: RestoreOptions) -> dict[str, Any]:
        return self._settings | dict(
            options.resume.settings,
            scale=options.scale,
            detect_scenes=options.detect_scenes,
        )

    def _inputs(
        self,
        frames: Iterable[tuple[int, TimedFrame]],
        spans: Sequence[Span],
        snap: Callable[[Fraction], Fraction],
    ) -> Iterator[_Input]:
        """Begin to upload the frames of the spans, and their context.

        All frames before them are read, so that the shots are those of the clip.
        """
        if not spans:
            return
        context = inf if self.restorer.context is None else self.restorer.context
        left_out, starts = 0, {}
        for number, (shot, frame) in enumerate(frames):
            frame = frame._replace(time=snap(frame.time))
            # Spans begin with a batch of the shot, so that they are computed alike.
            period = self._period(frame.image)
            in_batch = (number - starts.setdefault(shot, number)) % period
            last = number - in_batch + period - 1
            if any(
                s.first - context <= last and number < s.stop + context for s in spans
            ):
                upload = self._transfers.upload(frame.image)
                yield _Input((shot, left_out), number, frame, upload)
            elif number >= spans[-1].stop:
                return
            else:
                left_out += 1

    def _period(self, image: np.ndarray) -> int:
        """See :class:`ClipRestorer`."""
        find_period = getattr(self.restorer, 'period', None)
        return find_period(*image.shape[:2]) if find_period else 1

    def _outputs(
        self,
        inputs: Iterable[_Input],
        spans: Sequence[Span],
        scale: float | None,
        path: Path,
    ) -> Iterator[_Output]:
        """Restore the frames of the spans."""
        with closing(prefetch(inputs, QUEUED_FRAMES)) as ready:
            for _, run in groupby(ready, attrgetter('run')):
                # The second iterator pairs every output with its input.
                uploaded, originals = tee(run)
                outputs = self.restorer.restore(entry.upload() for entry in uploaded)
                for restored, entry in zip(outputs, originals, strict=True):
                    number, frame = entry.number, entry.frame
                    if any(span.first <= number < span.stop for span in spans):
                        name = f'frame {number} of {path}'
                        image = self._download(restored, frame.image, scale, name)
                        yield _Output(image, frame.time, number)
                    if number + 1 >= spans[-1].stop:
                        return

    def _restore_frames(
        self, images: Iterable[np.ndarray], scale: float | None, names: Iterator[str]
    ) -> Iterator[np.ndarray]:
        images, originals = tee(_check_images(images))
        tensors = (to_tensor(image, self.restorer.device) for image in images)
        outputs = self.restorer.restore(tensors)
        for restored, original in zip(outputs, originals, strict=True):
            yield self._download(restored, original, scale, next(names))()

    def _download(
        self, restored: Tensor, original: np.ndarray, scale: float | None, name: str
    ) -> Callable[[], np.ndarray]:
        """Begin to copy a restored frame to the host.

        Returns:
            Callable: Waits for the frame, and gives it as an array of the type of
            ``original``; raises a NotFiniteError if it is not finite.
        """
        dtype = original.dtype
        size = None
        if scale not in (None, self.scale):
            size = [round(scale * n) for n in original.shape[:2]]
        pixels = to_pixels(restored, dtype) if size is None else restored
        copied = self._transfers.download(pixels, restored.isfinite().all())

        def finish() -> np.ndarray:
            pixels, is_finite = copied()
            if not is_finite:
                raise NotFiniteError(name)
            if size is not None:
                pixels = to_pixels(shrink(pixels, *size), dtype)
            return pixels.numpy()

        return finish


def _report_plausible(
    progress: Callable[[int, int | None], None] | None,
) -> Callable[[int, int | None], None]:
    """Report changes only, and a total that was exceeded as unknown."""
    last = None

    def report(done: int, total: int | None) -> None:
        nonlocal last
        if total is not None and done > total:
            total = None
        if progress is not None and (done, total) != last:
            last = done, total
            progress(done, total)

    return report


def _num_frames_of(part: Part | None, num_frames: int | None) -> int | None:
    """Frames of a part of a clip; None if it is not known."""
    if part is None:
        return num_frames
    stop = num_frames if part.span.stop == inf else int(part.span.stop)
    return None if stop is None else max(0, stop - part.span.first)


def _with_names(options: WriteOptions, info: ClipInfo) -> WriteOptions:
    """Name images like those of the source folder, unless they are named already."""
    if options.filenames is not None or not info.stems:
        return options
    occurrences = Counter(info.stems)
    names = [
        path.stem if occurrences[path.stem] == 1 else path.name for path in info.files
    ]
    return replace(options, filenames=[f'{name}.png' for name in names])


def _check_images(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    for index, image in enumerate(images):
        check_image(image, f'frame {index}')
        yield image


def _checksum_of_network(config: Config) -> str:
    """Of the parts of a config that restoring depends on."""
    parts = [config.get(name) for name in ('model', 'restorer')]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum_of_file(path: str | PathLike) -> str:
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
