"""Restoring videos, from file to file."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count, dropwhile, tee
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmengine.config import Config

from ..video.clip_info import ClipInfo
from ..video.frames import TimedFrame, check_image
from ..video.options import ReadOptions, Resume, WriteOptions
from ..video.reader import FrameReader, open_frames
from ..video.scenes import split_shots
from ..video.writer import open_writer
from .images import shrink, to_image, to_tensor
from .loading import load_config, load_restorer
from .protocol import ClipRestorer


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
    """

    def __init__(self, source: FrameReader) -> None:
        self._source = source
        self.error = None

    def __iter__(self) -> Iterator[TimedFrame]:
        try:
            yield from self._source.timed()
        except ValueError as error:
            self.error = error

    def shots(self, detect_scenes: bool) -> Iterable[Iterable[TimedFrame]]:
        """The shots of the clip; one, if scene cuts are not looked for."""
        return split_shots(self) if detect_scenes else [self]


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
                the network needs.
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
        are copied into a video file.

        Args:
            src (str | PathLike): A video file or a folder of images.
            dst (str | PathLike): The file or folder to write; see
                :func:`~fmanet_mm.video.writer.open_writer`. It appears when it is
                complete.
            options (RestoreOptions): How to restore it.
            progress (Callable, optional): Called with the number of frames that are
                written, and that of all or None, first and after each frame.

        Returns:
            RestoredVideo: The output.

        Raises:
            FileNotFoundError: If there is no ``src``, or no image in it.
            ValueError: If an option is out of range, ``src`` cannot be read or ``dst``
                not be written.
            EndedEarlyError: If ``src`` is damaged, after the frames before the damage
                were restored and written.
        """
        self.check_scale(options.scale)
        report = _report_plausible(progress)
        with open_frames(src, replace(options.read, keep_depth=True)) as source:
            frames = IntactFrames(source)
            with open_writer(
                dst,
                source.info,
                _with_names(options.write, source.info),
                replace(options.resume, settings=self._settings_of(options)),
            ) as writer:
                report(writer.num_frames, source.info.num_frames)
                shots = frames.shots(options.detect_scenes)
                for frame in self._restore_shots(
                    shots, options.scale, writer.num_frames, source.path
                ):
                    writer.write(*frame)
                    report(writer.num_frames, source.info.num_frames)
                writer.hold(source.last_duration)
                report(writer.num_frames, writer.num_frames)
        restored = RestoredVideo(Path(dst), writer.num_frames)
        if frames.error is not None:
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

    def _restore_shots(
        self,
        shots: Iterable[Iterable[TimedFrame]],
        scale: float | None,
        first: int,
        path: Path,
    ) -> Iterator[TimedFrame]:
        """Restore a video from its frame number ``first`` on.

        All frames are read, so that the shots are those of a run from the beginning,
        but only the context of ``first`` is restored with the frames after it.
        """
        numbers = count()
        context = self.restorer.context
        begin = 0 if context is None else first - context
        for shot in shots:
            numbered = zip(shot, numbers, strict=False)
            needed = dropwhile(lambda pair: pair[1] < begin, numbered)
            # The last iterator pairs every output with its frame.
            inputs, named, frames = tee(needed, 3)
            images = (frame.image for frame, _ in inputs)
            names = (f'frame {number} of {path}' for _, number in named)
            restored = self._restore_frames(images, scale, names)
            for image, (frame, number) in zip(restored, frames, strict=True):
                if number >= first:
                    yield frame._replace(image=image)

    def _restore_frames(
        self, images: Iterable[np.ndarray], scale: float | None, names: Iterator[str]
    ) -> Iterator[np.ndarray]:
        images, originals = tee(_check_images(images))
        tensors = (to_tensor(image, self.restorer.device) for image in images)
        outputs = self.restorer.restore(tensors)
        for restored, original in zip(outputs, originals, strict=True):
            name = next(names)
            if not restored.isfinite().all():
                raise NotFiniteError(name)
            if scale not in (None, self.scale):
                size = (round(scale * n) for n in original.shape[:2])
                restored = shrink(restored, *size)
            yield to_image(restored, original.dtype)


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


def _with_names(options: WriteOptions, info: ClipInfo) -> WriteOptions:
    """Name images like those of the source folder, unless they are named already."""
    if options.filenames is not None or not info.stems:
        return options
    return replace(options, filenames=[f'{stem}.png' for stem in info.stems])


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
