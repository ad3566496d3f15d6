"""Frames out: video files and folders of images."""

import os
import shutil
from collections.abc import Iterable
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from .colour import from_rgb, tag_bt709
from .reader import DEFAULT_FPS

VIDEO_SUFFIXES = ('.mp4', '.mov', '.mkv', '.webm', '.avi')
# Constant quality that is hard to tell from the original, in H.264 and in VP9.
_CODEC_OPTIONS = {'crf': '15'}


class FrameWriter:
    """What all writers have in common; :func:`open_writer` gives one.

    A writer is a context manager. It writes beside ``path`` and gives the result its
    name when the block ends well; when it ends with an error, nothing is left.

    Args:
        path (str | PathLike): File or folder to write; its parent is made.

    Attributes:
        path (Path): Where the result will be.
        num_frames (int): Frames written so far.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.num_frames = 0
        self._shape = None
        self._target = self.path.resolve()
        self._partial = self._target.with_name(
            f'.{self._target.stem}.{os.getpid()}.partial{self._target.suffix}'
        )

    def write(self, frame: np.ndarray) -> None:
        """Add a frame.

        Args:
            frame (np.ndarray): (H, W, 3), uint8, RGB.

        Raises:
            ValueError: If it is no such array or differs in size from the first.
        """
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(
                f'frame {self.num_frames} for {self.path} must be (H, W, 3) uint8, got '
                f'{frame.shape} {frame.dtype}'
            )
        if self._shape is None:
            self._shape = frame.shape
            self._partial.parent.mkdir(parents=True, exist_ok=True)
        if frame.shape != self._shape:
            raise ValueError(
                f'frame {self.num_frames} for {self.path} has (H, W) = '
                f'{frame.shape[:2]}, the frames before it have {self._shape[:2]}'
            )
        self._write(frame)
        self.num_frames += 1

    def __enter__(self) -> 'FrameWriter':
        return self

    def __exit__(self, exc_type: type | None, *exc_info) -> None:
        try:
            if exc_type is None:
                self._finish()
        finally:
            self._discard()

    def _finish(self) -> None:
        if self.num_frames == 0:
            raise ValueError(f'no frames were given for {self.path}')
        self._complete()
        os.replace(self._partial, self._target)

    def _write(self, frame: np.ndarray) -> None:
        raise NotImplementedError

    def _complete(self) -> None:
        """Write what is still held back."""

    def _discard(self) -> None:
        """Remove what stands beside the name."""
        raise NotImplementedError


class VideoFileWriter(FrameWriter):
    """Writes a video file: H.264, or the container's own codec (VP9 in WebM).

    YUV 4:2:0, which every player knows, has no odd sizes, so these are written as
    4:4:4; the size is exact either way.

    Args:
        path (str | PathLike): File to write; its suffix gives the container. A file of
            that name is replaced at the end.
        fps (Fraction | float): Frames per second.

    Raises:
        ValueError: If the suffix is of no video container that is supported.
    """

    def __init__(self, path: str | os.PathLike, fps: Fraction | float) -> None:
        if Path(path).suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(
                f'cannot write {path}: a video must end in one of '
                f'{", ".join(VIDEO_SUFFIXES)}, and a new folder must have no suffix'
            )
        super().__init__(path)
        self.fps = Fraction(fps).limit_denominator(65536)
        self._reformatter = VideoReformatter()
        self._container = None

    def _write(self, frame: np.ndarray) -> None:
        if self._container is None:
            self._open(*frame.shape[:2])
        picture = from_rgb(frame, self._stream.pix_fmt, self._reformatter)
        picture.pts = self.num_frames
        picture.time_base = 1 / self.fps
        self._container.mux(self._stream.encode(picture))

    def _open(self, height: int, width: int) -> None:
        self._container = av.open(os.fspath(self._partial), 'w')
        self._stream = self._container.add_stream(
            self._choose_codec(), rate=self.fps, options=_CODEC_OPTIONS
        )
        self._stream.height = height
        self._stream.width = width
        is_even = height % 2 == 0 and width % 2 == 0
        self._stream.pix_fmt = 'yuv420p' if is_even else 'yuv444p'
        tag_bt709(self._stream.codec_context)
        try:
            self._container.start_encoding()
        except av.FFmpegError as error:
            raise ValueError(
                f'{self.path} cannot be written: {self._stream.name} takes no frames '
                f'of (H, W) = {(height, width)} ({error}); write a folder of images'
            ) from error

    def _choose_codec(self) -> str:
        has_h264 = 'h264' in self._container.supported_codecs
        if has_h264 and 'libx264' in av.codecs_available:
            return 'libx264'
        return self._container.default_video_codec

    def _complete(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def _discard(self) -> None:
        if self._container is not None:
            self._container.close()
        self._partial.unlink(missing_ok=True)


class ImageFolderWriter(FrameWriter):
    """Writes a folder of images.

    Args:
        path (str | PathLike): Folder to write. One that is there must be empty, so
            that frames of two clips are never mixed.
        filenames (Iterable[str] | None): Names of the images; by default PNG images
            with the frame's number in eight digits.

    Raises:
        ValueError: If there are files in the folder, or ``path`` is a file; while
            writing if two names are alike or a suffix is of no image format.
    """

    def __init__(
        self, path: str | os.PathLike, filenames: Iterable[str] | None = None
    ) -> None:
        super().__init__(path)
        if self.path.is_file():
            raise ValueError(f'{path} is a file, expected a folder to write images to')
        if self.path.is_dir() and any(self.path.iterdir()):
            raise ValueError(
                f'the folder {path} is not empty; empty it or choose another, so that '
                'the frames of two clips are not mixed'
            )
        self._filenames = iter(filenames or map('{:08d}.png'.format, count()))

    def _write(self, frame: np.ndarray) -> None:
        self._partial.mkdir(exist_ok=True)
        name = next(self._filenames)
        image = self._partial / name
        if image.exists():
            raise ValueError(f'two frames of {self.path} would be named {name}')
        if not cv2.haveImageWriter(name):
            raise ValueError(
                f'{name} is no name for an image; use a suffix such as .png'
            )
        if not cv2.imwrite(os.fspath(image), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)):
            raise OSError(f'{image} cannot be written; is the disk full?')

    def _discard(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)


def open_writer(
    path: str | os.PathLike,
    fps: Fraction | float = DEFAULT_FPS,
    filenames: Iterable[str] | None = None,
) -> FrameWriter:
    """Open a video file or a folder of images for writing.

    Args:
        path (str | PathLike): A file name with the suffix of a video container, or a
            folder, which needs no suffix unless it exists.
        fps (Fraction | float): Frames per second of a video file.
        filenames (Iterable[str] | None): Names of the images in a folder; see
            :class:`ImageFolderWriter`.

    Returns:
        FrameWriter: A context manager with ``write``.

    Raises:
        ValueError: If the suffix is of no video container that is supported, or the
            folder is not empty.
    """
    path = Path(path)
    if path.is_dir() or not path.suffix:
        return ImageFolderWriter(path, filenames)
    return VideoFileWriter(path, fps)
