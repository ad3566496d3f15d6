"""File names of videos and images: suffixes, containers, numbering."""

import os

VIDEO_FORMATS = {
    '.mp4': 'mp4',
    '.mov': 'mov',
    '.mkv': 'matroska',
    '.webm': 'webm',
    '.avi': 'avi',
}
"""Suffixes of the video files that can be written, and FFmpeg's container names."""

VIDEO_SUFFIXES = tuple(VIDEO_FORMATS)
"""Suffixes of the video files that can be written."""

IMAGE_SUFFIXES = (
    *('.png', '.jpg', '.jpeg', '.jpe', '.jfif', '.bmp', '.tif', '.tiff', '.webp'),
    *('.ppm', '.pgm', '.pbm', '.pnm'),
)
"""Suffixes of the images that are read from a folder."""

OTHER_IMAGE_SUFFIXES = (
    *('.gif', '.apng', '.tga', '.avif', '.heic', '.heif', '.jp2', '.jxl', '.psd'),
    *('.exr', '.hdr', '.dpx', '.pam', '.pfm', '.dng'),
)
"""Suffixes of images that are not read, which is said."""

DEEP_IMAGE_SUFFIXES = ('.png', '.tif', '.tiff')
"""Suffixes of the image formats that hold 16 bits."""

NUMBERED = '{:08d}.png'
"""Default names of the images in a folder."""


def find_format(path: str | os.PathLike) -> str:
    """Return FFmpeg's name of the container that a file name asks for.

    Args:
        path (str | PathLike): Name of a video file.

    Raises:
        ValueError: If no supported container has its suffix.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in VIDEO_FORMATS:
        raise ValueError(
            f'cannot write {path}: a video must end in one of '
            f'{", ".join(VIDEO_FORMATS)}, and a new folder must have no suffix'
        )
    return VIDEO_FORMATS[suffix]
