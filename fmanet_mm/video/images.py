"""Still images of 8 or 16 bits as RGB."""

import fnmatch
import os
import re
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile

from .formats import IMAGE_SUFFIXES
from .limits import Limits

_FORMATS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP', 'PPM')
_NO_LIMITS = Limits(None, None)


def list_images(folder: Path, pattern: str | None = None) -> list[Path]:
    """List the images of a folder, ordered by the numbers in their names.

    Args:
        folder (Path): The folder.
        pattern (str, optional): Which file names to list, with ``*``, ``?`` and
            ``[...]``; by default those with the suffix of an image. Hidden files are
            never listed.

    Raises:
        FileNotFoundError: If there is no such folder, or no such image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}; check the path')
    images = [path for path in folder.iterdir() if _is_wanted(path, pattern)]
    if not images:
        wanted = pattern or ', '.join(f'*{suffix}' for suffix in IMAGE_SUFFIXES)
        raise FileNotFoundError(
            f'there are no images in the folder {folder}; looked for {wanted}'
        )
    return sorted(images, key=_natural)


def read_image(
    path: str | os.PathLike,
    dtype: np.dtype | type | None = np.uint8,
    limits: Limits = _NO_LIMITS,
) -> np.ndarray:
    """Read an image as (H, W, 3) RGB; see :func:`open_image`, :func:`decode_image`."""
    with open_image(path, limits) as header:
        return decode_image(header, dtype)


def open_image(
    path: str | os.PathLike, limits: Limits = _NO_LIMITS
) -> ImageFile.ImageFile:
    """Read the header of an image.

    Args:
        path (str | PathLike): A local file.
        limits (Limits): What is refused as too large.

    Returns:
        ImageFile: A context manager; the image is not decoded yet.

    Raises:
        ValueError: If it is not a readable image, or too large.
    """
    try:
        header = Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise ValueError(
            f'{path} is too large to be read ({str(error).rstrip(".")}); raise '
            'PIL.Image.MAX_IMAGE_PIXELS if that is right'
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path) from error
    limits.check_size(path, header.height, header.width)
    return header


def decode_image(
    header: ImageFile.ImageFile, dtype: np.dtype | type | None = np.uint8
) -> np.ndarray:
    """Decode an open image. Grey becomes RGB, alpha is dropped.

    Args:
        header (ImageFile): From :func:`open_image`.
        dtype (np.dtype | type, optional): uint8 or uint16, to which the values are
            scaled; None keeps that of the file.

    Returns:
        np.ndarray: (H, W, 3), RGB.

    Raises:
        ValueError: If it is damaged, or not of 8 or 16 bits.
    """
    path = header.filename
    if header.format in ('JPEG', 'MPO', 'TIFF'):
        # OpenCV silently pads truncated files of these formats.
        try:
            header.load()
        except (OSError, SyntaxError, ValueError) as error:
            raise _unreadable(path) from error
    # OpenCV itself opens neither names that are not UTF-8 nor, on Windows, many others.
    data = np.fromfile(path, np.uint8)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:  # Larger than OpenCV reads.
        raise _unreadable(path) from error
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise _unreadable(path)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    if dtype == np.uint8 and image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=255 / 65535)
    if dtype == np.uint16 and image.dtype == np.uint8:
        return image.astype(np.uint16) * 257
    return image


def _unreadable(path: str | os.PathLike) -> ValueError:
    return ValueError(
        f'{path} cannot be read as an image; it is damaged, truncated, or not an image '
        f'of 8 or 16 bits in one of the formats {", ".join(_FORMATS)}'
    )


def _is_wanted(path: Path, pattern: str | None) -> bool:
    if path.name.startswith('.') or not path.is_file():
        return False
    if pattern is None:
        return path.suffix.lower() in IMAGE_SUFFIXES
    return fnmatch.fnmatch(path.name, pattern)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sort 2.png before 10.png."""
    parts = re.split(r'(\d+)', path.name)
    parts[1::2] = map(int, parts[1::2])
    return parts, path.name
