"""Frames in: video files and folders of images."""

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from .colour import to_rgb
from .container import declared_size

IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
DEFAULT_FPS = Fraction(25)


class FrameReader:
    """What all readers have in common; :func:`open_frames` gives one.

    A reader is a context manager and can be iterated once. It gives (H, W, 3) uint8
    RGB arrays in display order, and holds no more than a few of them.

    Attributes:
        path (Path): What is read.
        name (str): Name of the clip: of the folder, or of the file without suffix.
        fps (Fraction): Frames per second.
        height (int): Rows of a frame.
        width (int): Columns of a frame.
        num_frames (int | None): Number of frames; of a video file what its header
            says, or None if it says nothing.
    """

    path: Path
    name: str
    fps: Fraction
    height: int
    width: int
    num_frames: int | None

    def __enter__(self) -> 'FrameReader':
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; frames cannot be read any more."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Give the frames.

        Raises:
            ValueError: If a frame cannot be decoded or has another size than the
                first; the frames before it were given.
        """
        for index, frame in enumerate(self._frames()):
            if frame.shape != (self.height, self.width, 3):
                raise ValueError(
                    f'{self.path} ends at frame {index}: it has (H, W) = '
                    f'{frame.shape[:2]}, the frames before it have '
                    f'{(self.height, self.width)}; the frames of a clip must have '
                    'one size'
                )
            yield frame

    def _frames(self) -> Iterator[np.ndarray]:
        raise NotImplementedError


class VideoFileReader(FrameReader):
    """Reads a video file.

    The content decides about the format, not the file's name. Only the file itself is
    read: playlists, which would refer to other files or the network, are refused.

    Args:
        path (str | PathLike): A local file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a video, or none of its frames can be decoded.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        if not self.path.is_file():
            raise FileNotFoundError(f'there is no video file {path}; check the path')
        self._file = open(self.path, 'rb')
        try:
            self._open()
        except Exception:
            self._file.close()
            raise

    def _open(self) -> None:
        try:
            self._container = av.open(
                self._file, options={'protocol_whitelist': 'none'}
            )
        except (av.FFmpegError, OSError) as error:
            raise ValueError(
                f'{self.path} is not a video file that can be read ({error}); it is '
                'damaged, cut off, or no video'
            ) from error
        self._stream = self._container.streams.best('video')
        if self._stream is None:
            raise ValueError(
                f'{self.path} holds no video; it is cut off, or has other data only'
            )
        self.fps = self._stream.average_rate or self._stream.guessed_rate or DEFAULT_FPS
        self.num_frames = self._stream.frames or None
        self._reformatter = VideoReformatter()
        self._damage = None
        self._decoded = self._decode()
        first = next(self._decoded)
        self.height, self.width = first.shape[:2]
        self._decoded = chain([first], self._decoded)

    def close(self) -> None:
        """Let go of the file; frames cannot be read any more."""
        self._container.close()
        self._file.close()

    def _frames(self) -> Iterator[np.ndarray]:
        return self._decoded

    def _decode(self) -> Iterator[np.ndarray]:
        """Decode up to the end or the first damage, then say where that is."""
        index = 0
        for frame in self._decode_sound_frames():
            yield to_rgb(frame, self._reformatter)
            index += 1
        if self._damage is None and self._is_cut_off():
            self._damage = 'the file is cut off'
        if self._damage is not None:
            raise ValueError(
                f'{self.path} ends at frame {index}: this and the frames after it '
                f'cannot be decoded ({self._damage})'
            )
        if index == 0:
            raise ValueError(f'{self.path} holds no frames')

    def _decode_sound_frames(self) -> Iterator[av.VideoFrame]:
        """Frames up to the first damage, which is remembered."""
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
            self._damage = str(error)
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

    Grey images become RGB, alpha is dropped, 16 bits are rounded to 8. Files of other
    kinds are ignored.

    Args:
        path (str | PathLike): A folder.
        fps (Fraction | float): Frames per second that it shall count as.

    Attributes:
        stems (list[str]): Names of the images without suffix, in order.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
        ValueError: If the first image cannot be read.
    """

    def __init__(
        self, path: str | os.PathLike, fps: Fraction | float = DEFAULT_FPS
    ) -> None:
        self.path = Path(path)
        self.name = self.path.resolve().name
        self.fps = Fraction(fps).limit_denominator(65536)
        if not self.path.is_dir():
            raise FileNotFoundError(f'there is no folder {path}; check the path')
        self._images = sorted(filter(_is_image, self.path.iterdir()), key=_natural)
        if not self._images:
            raise FileNotFoundError(
                f'there are no images in the folder {path}; looked for '
                + ', '.join(f'*{suffix}' for suffix in IMAGE_SUFFIXES)
            )
        self.stems = [image.stem for image in self._images]
        self.num_frames = len(self._images)
        self.height, self.width = read_image(self._images[0]).shape[:2]

    def _frames(self) -> Iterator[np.ndarray]:
        return map(read_image, self._images)


def open_frames(
    path: str | os.PathLike, folder_fps: Fraction | float = DEFAULT_FPS
) -> FrameReader:
    """Open a video file or a folder of images.

    Args:
        path (str | PathLike): A local video file or a folder.
        folder_fps (Fraction | float): Frames per second of a folder; a video file
            knows its own.

    Returns:
        FrameReader: A context manager that gives (H, W, 3) uint8 RGB arrays.

    Raises:
        FileNotFoundError: If there is no such file or folder, or no image in it.
        ValueError: If the file is not a video, or its first frame cannot be read.
    """
    if Path(path).is_dir():
        return ImageFolderReader(path, folder_fps)
    if not Path(path).exists():
        raise FileNotFoundError(
            f'there is no video file or folder of images {path}; check the path'
        )
    return VideoFileReader(path)


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If the file is no readable image of 8 or 16 bits.
    """
    image = cv2.imread(os.fspath(path), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None:
        raise ValueError(
            f'{path} cannot be read as an image; it is damaged or no image'
        )
    if image.dtype == np.uint16:
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    if image.dtype != np.uint8:
        raise ValueError(
            f'{path} holds {image.dtype} values, expected an image of 8 or 16 bits'
        )
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _is_image(path: Path) -> bool:
    return (
        path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith('.')
        and path.is_file()
    )


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sort 2.png before 10.png."""
    parts = re.split(r'(\d+)', path.name)
    parts[1::2] = map(int, parts[1::2])
    return parts, path.name
