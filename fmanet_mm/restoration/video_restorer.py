"""Restoring videos, from file to file."""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from fractions import Fraction
from itertools import count, dropwhile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmengine.registry import MODELS
from mmengine import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from ..export import WindowRestorer, load_safetensors_model, load_window_model
from ..models import FMANet
from ..utils import config_root
from ..utils.checkpoint import load_state_dict_file
from ..video import (
    FrameReader,
    ImageFolderReader,
    Limits,
    TimedFrame,
    open_frames,
    open_writer,
    split_shots,
)
from ..video.reader import DEFAULT_FPS
from .images import to_image, to_tensor
from .streaming import StreamingRestorer

AUTOCAST_DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)
_GRAPHS = ('.onnx', '.pt2')


class RestoredVideo(NamedTuple):
    """What was written.

    Attributes:
        path (Path): The video file or the folder of images.
        num_frames (int): Its number of frames.
    """

    path: Path
    num_frames: int


class EndedEarlyError(ValueError):
    """A damaged video was restored up to the damage.

    Attributes:
        restored (RestoredVideo): What was written all the same.
    """

    def __init__(self, reason: ValueError, restored: RestoredVideo) -> None:
        super().__init__(
            f'{reason}. What comes before, {restored.num_frames} frames, was restored '
            f'to {restored.path}'
        )
        self.restored = restored


class SoundFrames:
    """Gives the frames up to the first that cannot be read, whose error it keeps.

    So what comes before the damage is restored and not lost.

    Args:
        source (FrameReader): The clip.

    Attributes:
        error (ValueError | None): Why it ended early, if it did.
    """

    def __init__(self, source: FrameReader) -> None:
        self._source = source
        self.error = None

    def __iter__(self) -> Iterator[TimedFrame]:
        try:
            yield from self._source.timed()
        except ValueError as error:
            self.error = error


class VideoRestorer:
    """Restores videos of any length with FMA-Net, in constant memory.

    Args:
        config (str | PathLike | Config, optional): Config of a stage-2 model: one that
            is loaded, a file, or the name of one of the project's, such as
            ``'fmanet_stage2'``. None for a file that describes its network itself.
        checkpoint (str | PathLike): A local file: a checkpoint, or a network that was
            exported to ``.safetensors``, ``.onnx`` or ``.pt2``, whose config is not
            needed.
        device (str | torch.device, optional): By default a GPU if there is one.
        dtype (str): ``'fp32'``, ``'bf16'`` or ``'fp16'``; the latter two compute under
            autocast, ``'fp16'`` on GPUs only.
        memory_budget (float, optional): See :class:`StreamingRestorer`.
        trusted (bool): Whether the checkpoint may run code. Needed for ``.pt2``; in
            the others nothing is executed.

    Attributes:
        model (FMANet | WindowModel): The network.
        device (torch.device): Where it is.
        scale (int): Ratio of its output's size to its input's, s.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If there is no checkpoint or it does not fit the config, if the
            model is of stage 1, or an argument is out of range.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config | None,
        checkpoint: str | os.PathLike | None,
        device: str | torch.device | None = None,
        dtype: str = 'fp32',
        memory_budget: float | None = None,
        trusted: bool = False,
    ) -> None:
        if not checkpoint:
            raise ValueError(
                'no checkpoint was given, and random weights restore nothing; name a '
                'checkpoint of stage 2'
            )
        self.device = _find_device(device)
        self._autocast_dtype = _find_autocast_dtype(dtype, self.device)
        if Path(checkpoint).suffix in _GRAPHS:
            if dtype != 'fp32' or memory_budget is not None:
                raise ValueError(
                    f'{checkpoint} is computed in fp32, on whole frames; for another '
                    'dtype or a memory budget use a checkpoint or a .safetensors file'
                )
            self.model = load_window_model(checkpoint, self.device, trusted=trusted)
            self._restorer = WindowRestorer(self.model)
        else:
            self.model = load_model(config, checkpoint).to(self.device)
            self._restorer = StreamingRestorer(self.model, memory_budget)
        self.scale = self.model.scale
        self._settings = dict(checkpoint=_digest(checkpoint), dtype=dtype)

    def restore_frames(
        self, frames: Iterable[np.ndarray], scale: float | None = None
    ) -> Iterator[np.ndarray]:
        """Restore the frames of one shot.

        Windows at the ends are filled with the first and last frame. T // 2 frames
        more are taken than have been given.

        Args:
            frames (Iterable[np.ndarray]): Blurry LR frames in order, (H, W, 3), uint8
                or uint16 of the full range, RGB.
            scale (float, optional): Size of the result relative to the input, if other
                than the network's: 1 < scale <= s. The network's output is shrunk by
                averaging areas.

        Returns:
            Iterator[np.ndarray]: For every frame a sharp one, (sH, sW, 3), RGB, of the
            same type; with ``scale`` (round(scale * H), round(scale * W), 3).

        Raises:
            ValueError: If ``scale`` is out of range; while iterating, if a frame is no
                such array, or has another size than the first.
        """
        self.check_scale(scale)
        return self._restore_frames(frames, scale)

    def restore_video(
        self,
        src: str | os.PathLike,
        dst: str | os.PathLike,
        *,
        scale: float | None = None,
        start: Fraction | float | None = None,
        end: Fraction | float | None = None,
        detect_scenes: bool = True,
        folder_fps: Fraction | float = DEFAULT_FPS,
        pattern: str | None = None,
        limits: Limits | None = None,
        filenames: Iterable[str] | None = None,
        codec: str | None = None,
        crf: int | None = None,
        pixel_format: str | None = None,
        resume: bool = False,
        keep_partial: bool = False,
        progress: Callable[[int, int | None], None] | None = None,
    ) -> RestoredVideo:
        """Restore a video file or a folder of images to either.

        Every frame gives a frame, with its time; sound and subtitles of a video file
        are copied into a video file.

        Args:
            src (str | PathLike): A video file or a folder of images.
            dst (str | PathLike): The file or folder to write; see
                :func:`~fmanet_mm.video.open_writer`. It has its name only when it is
                complete.
            scale (float, optional): See :meth:`restore_frames`.
            start (Fraction | float, optional): Seconds at which to begin.
            end (Fraction | float, optional): Seconds before which to end.
            detect_scenes (bool): Whether to look for scene cuts, which no window of
                frames then crosses.
            folder_fps (Fraction | float): Frames per second of a folder.
            pattern (str, optional): Which files of a folder are the frames, such as
                ``'left_*.png'``.
            limits (Limits, optional): Largest frames and longest video to accept.
            filenames (Iterable[str], optional): Names of the images when a folder is
                written, by default those of the folder that is read, as PNG, else
                eight digits.
            codec (str, optional): Of the video file.
            crf (int, optional): Its quality, the smaller the better.
            pixel_format (str, optional): Its pixel format.
            resume (bool): Go on with a run that was broken off with ``keep_partial``.
            keep_partial (bool): Whether to keep what is written if the run is broken
                off, for ``resume``.
            progress (Callable, optional): Called with the number of frames that are
                written, and that of all or None, at the beginning and after each.

        Returns:
            RestoredVideo: What was written.

        Raises:
            FileNotFoundError: If there is no ``src``, or no image in it.
            ValueError: If an argument is out of range, ``src`` cannot be read or
                ``dst`` not be written.
            EndedEarlyError: If ``src`` is damaged, after what comes before the damage
                was restored and written.
        """
        self.check_scale(scale)
        with open_frames(
            src,
            folder_fps,
            keep_depth=True,
            start=start,
            end=end,
            pattern=pattern,
            limits=limits or Limits(),
        ) as source:
            frames = SoundFrames(source)
            with open_writer(
                dst,
                source.fps,
                filenames or _filenames(source),
                source=source,
                codec=codec,
                crf=crf,
                pixel_format=pixel_format,
                resume=resume,
                keep_partial=keep_partial or resume,
                job=self._settings | dict(scale=scale, detect_scenes=detect_scenes),
            ) as writer:
                report = progress or (lambda done, total: None)
                report(writer.num_frames, source.num_frames)
                shots = split_shots(frames) if detect_scenes else [frames]
                for image, time in self._restore_shots(shots, scale, writer.num_frames):
                    writer.write(image, time)
                    report(writer.num_frames, source.num_frames)
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

    def _restore_shots(
        self, shots: Iterable[Iterable[TimedFrame]], scale: float | None, first: int
    ) -> Iterator[TimedFrame]:
        """Restore a video from its frame number ``first`` on.

        All frames are read, so that the shots are those of a run from the beginning,
        but only the T // 2 before ``first`` are restored with the others, as their
        context.
        """
        numbers = count()
        for shot in shots:
            numbered = zip(shot, numbers, strict=False)
            yield from self._restore_shot(numbered, scale, first)

    def _restore_shot(
        self,
        numbered: Iterable[tuple[TimedFrame, int]],
        scale: float | None,
        first: int,
    ) -> Iterator[TimedFrame]:
        begin = first - self.model.num_frames // 2
        pending = deque()

        def images() -> Iterator[np.ndarray]:
            for frame, number in dropwhile(lambda pair: pair[1] < begin, numbered):
                pending.append((frame.time, number))
                yield frame.image

        for image in self._restore_frames(images(), scale):
            time, number = pending.popleft()
            if number >= first:
                yield TimedFrame(image, time)

    def _restore_frames(
        self, frames: Iterable[np.ndarray], scale: float | None
    ) -> Iterator[np.ndarray]:
        pending = deque()

        def tensors() -> Iterator[Tensor]:
            for index, frame in enumerate(frames):
                _check_image(frame, index)
                pending.append(frame)
                yield to_tensor(frame, self.device)

        for restored in self._compute(self._restorer.restore(tensors())):
            frame = pending.popleft()
            if scale not in (None, self.scale):
                restored = _shrink(restored, [scale * n for n in frame.shape[:2]])
            yield to_image(restored, frame.dtype)

    def _compute(self, results: Iterator[Tensor]) -> Iterator[Tensor]:
        """Compute one result after the other under autocast, and only them."""
        while True:
            with self._autocast():
                result = next(results, None)
            if result is None:
                return
            yield result

    def _autocast(self):
        if self._autocast_dtype is None:
            return nullcontext()
        return torch.autocast(self.device.type, self._autocast_dtype)


def load_model(
    config: str | os.PathLike | Config | None, checkpoint: str | os.PathLike
) -> FMANet:
    """Build a network of stage 2 and load its weights.

    Args:
        config (str | PathLike | Config, optional): See :class:`VideoRestorer`.
        checkpoint (str | PathLike): A checkpoint or a ``.safetensors`` file.

    Returns:
        FMANet: On the CPU, in evaluation mode.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ValueError: If there is no config and the checkpoint does not describe its
            network, if the two do not fit, or the model is of stage 1.
    """
    if config is None and Path(checkpoint).suffix == '.safetensors':
        return load_safetensors_model(checkpoint)
    if config is None:
        raise ValueError(
            f'{checkpoint} does not describe its network; name its config, such as '
            'fmanet_stage2'
        )
    if not isinstance(config, Config):
        config = Config.fromfile(find_config(config))
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmagic')):
        model = MODELS.build(config.model)
    StreamingRestorer(model)  # refuses models that cannot restore
    weights = load_state_dict_file(checkpoint)
    try:
        model.load_state_dict(weights)
    except ValueError as error:
        raise ValueError(f'{checkpoint}: {error}') from error
    model.cfg = config
    return model.eval()


def find_config(config: str | os.PathLike) -> Path:
    """Find a config file, by its path or as one of the project's by its name.

    Raises:
        FileNotFoundError: If there is no such file and no such name.
    """
    path = Path(config)
    named = config_root() / f'{path.name.removesuffix(".py")}.py'
    if path.is_file():
        return path
    if path.parent == Path() and named.is_file():
        return named
    raise FileNotFoundError(
        f'there is no config {config}; check the path, or name one of '
        + ', '.join(sorted(file.stem for file in config_root().glob('*_stage2*.py')))
    )


def _find_device(device: str | torch.device | None) -> torch.device:
    has_gpu = torch.cuda.is_available()
    try:
        device = torch.device(device or ('cuda' if has_gpu else 'cpu'))
    except RuntimeError as error:
        raise ValueError(
            f"there is no device {device!r}; use 'cpu', 'cuda' or 'cuda:1' ..."
        ) from error
    if device.type == 'cuda' and not has_gpu:
        raise ValueError(f'there is no GPU for device {device}; use the device cpu')
    return device


def _find_autocast_dtype(dtype: str, device: torch.device) -> torch.dtype | None:
    if dtype not in AUTOCAST_DTYPES:
        raise ValueError(f'dtype must be one of {list(AUTOCAST_DTYPES)}, got {dtype!r}')
    if dtype == 'fp16' and device.type == 'cpu':
        raise ValueError('fp16 needs a GPU; use bf16 or fp32 on the CPU')
    return AUTOCAST_DTYPES[dtype]


def _digest(path: str | os.PathLike) -> str:
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _filenames(source: FrameReader) -> list[str] | None:
    """Names as in the folder that is read; None: numbers."""
    if isinstance(source, ImageFolderReader):
        return [f'{stem}.png' for stem in source.stems]
    return None


def _check_image(frame: np.ndarray, index: int) -> None:
    if (
        frame.dtype not in (np.uint8, np.uint16)
        or frame.ndim != 3
        or frame.shape[2] != 3
    ):
        raise ValueError(
            f'frame {index} must be (H, W, 3) of uint8 or uint16, got {frame.shape} '
            f'of {frame.dtype}'
        )


def _shrink(frame: Tensor, size: Iterable[float]) -> Tensor:
    """Shrink (3, H, W) to a height and a width, which are rounded."""
    height, width = map(round, size)
    image = frame.float().permute(1, 2, 0).cpu().numpy()
    smaller = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(smaller).permute(2, 0, 1)
