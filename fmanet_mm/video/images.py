"""Still images of 8 or 16 bits as RGB."""

import fnmatch
import os
import re
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile

from ..utils.clips import is_clutter
from .formats import IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES
from .image_files import (
    convert_to_srgb,
    count_pages,
    decode_cielab,
    decode_colours,
    decode_netpbm,
    has_short_alpha,
    is_cielab,
    is_srgb,
    read_orientation,
    read_profile,
    turn_upright,
    without_orientation,
)
from .limits import Limits

_FORMATS = ('PNG', 'JPEG', 'BMP', 'TIFF', 'WEBP', 'PPM')
_CHECKED_FORMATS = ('JPEG', 'MPO', 'TIFF')
"""OpenCV silently pads truncated files of these formats."""
_FLAGS = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
_NO_LIMITS = Limits(None, None)


def list_images(folder: Path, pattern: str | None = None) -> list[Path]:
    """List the images of a folder, ordered by the numbers in their names.

    Args:
        folder (Path): The folder.
        pattern (str, optional): Which file names to list, with ``*``, ``?`` and
            ``[...]``; by default those with the suffix of an image. Hidden files and
            those of the system are never listed.

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


def find_gaps(images: Sequence[Path]) -> list[str]:
    """Name the numbers that are missing among images that are numbered one by one.

    Args:
        images (Sequence[Path]): Images in order.

    Returns:
        list[str]: Such as ``['7', '12 to 15']``; empty if most numbers do not follow
        the one before.
    """
    found = [re.fullmatch(r'(.*?)(\d+)(\D*)', path.stem) for path in images]
    if None in found or len({match[1] + match[3] for match in found}) > 1:
        return []
    pairs = [*pairwise(int(match[2]) for match in found)]
    gaps = [(first + 1, last - 1) for first, last in pairs if last - first > 1]
    if len(gaps) > len(pairs) / 2:
        return []
    return [f'{a}' if a == b else f'{a} to {b}' for a, b in gaps]


def list_other_images(folder: Path) -> list[str]:
    """Names of the images in a folder that are of formats that are not read."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.suffix.lower() in OTHER_IMAGE_SUFFIXES and not is_clutter(path.name)
    )


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
    header: ImageFile.ImageFile,
    dtype: np.dtype | type | None = np.uint8,
    to_srgb: bool = False,
) -> np.ndarray:
    """Decode an open image, upright. Grey becomes RGB, alpha is dropped.

    Args:
        header (ImageFile): From :func:`open_image`.
        dtype (np.dtype | type, optional): uint8 or uint16, to which the values are
            scaled; None keeps that of the file.
        to_srgb (bool): Whether to convert the colours of an ICC profile to sRGB.

    Returns:
        np.ndarray: (H, W, 3), RGB.

    Raises:
        ValueError: If it is damaged, not of 8 or 16 bits, has several pages, or cannot
            be converted.
    """
    path = header.filename
    num_pages = count_pages(header)
    if num_pages > 1:
        raise ValueError(
            f'{path} holds {num_pages} pictures; name it as an input of its own, which '
            'is read as a clip, or split it into single images'
        )
    return decode_page(header, np.fromfile(path, np.uint8), 0, dtype, to_srgb)


def decode_page(
    header: ImageFile.ImageFile,
    data: np.ndarray,
    page: int,
    dtype: np.dtype | type | None = np.uint8,
    to_srgb: bool = False,
) -> np.ndarray:
    """Decode a picture of a file that may hold several; see :func:`decode_image`.

    Args:
        header (ImageFile): From :func:`open_image`.
        data (np.ndarray): Content of the file.
        page (int): Number of the picture.
        dtype (np.dtype | type, optional): See :func:`decode_image`.
        to_srgb (bool): See :func:`decode_image`.
    """
    path = header.filename
    try:
        header.seek(page)
        orientation = read_orientation(header, data)
        if header.format in _CHECKED_FORMATS or page:
            header.load()
        image = _decode(header, data, page)
    except (OSError, SyntaxError, EOFError, struct.error, cv2.error) as error:
        raise _unreadable(path) from error
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise _unreadable(path)
    if not is_cielab(header):  # Pillow has turned those.
        image = turn_upright(image, orientation)
    profile = read_profile(header)
    if to_srgb and profile is not None and not is_srgb(profile):
        try:
            image = convert_to_srgb(image, profile)
        except ValueError as error:
            raise ValueError(f'{path} cannot be converted to sRGB: {error}') from error
    return scale_depth(image, dtype)


def _decode(
    header: ImageFile.ImageFile, data: np.ndarray, page: int
) -> np.ndarray | None:
    """Decode a picture as it is stored; None if OpenCV cannot."""
    if is_cielab(header):
        return decode_cielab(header)
    if header.format == 'WEBP' and getattr(header, 'n_frames', 1) > 1:
        return np.asarray(header.convert('RGB'))
    if header.format == 'PPM' and (image := decode_netpbm(data)) is not None:
        return image
    # OpenCV itself opens neither names that are not UTF-8 nor, on Windows, many others.
    if header.format == 'TIFF':
        data = without_orientation(data)
        if has_short_alpha(header):  # OpenCV would multiply the colours by it.
            return decode_colours(data, page)
    if page:
        _, pages = cv2.imdecodemulti(data, _FLAGS, range=(page, page + 1))
        image = pages[0] if pages else None
    else:
        image = cv2.imdecode(data, _FLAGS)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def scale_depth(image: np.ndarray, dtype: np.dtype | type | None) -> np.ndarray:
    """Scale an image to the range of uint8 or uint16; None leaves it as it is."""
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
    if is_clutter(path.name) or not path.is_file():
        return False
    if pattern is None:
        return path.suffix.lower() in IMAGE_SUFFIXES
    return fnmatch.fnmatch(path.name, pattern)


def _natural(path: Path) -> tuple[list[str | int], str]:
    """Sort 2.png before 10.png."""
    parts = re.split(r'(\d+)', path.name)
    parts[1::2] = map(int, parts[1::2])
    return parts, path.name
