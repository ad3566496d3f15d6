"""File names: their length, and how names that are not UTF-8 are shown."""

import hashlib
import os
import sys
import unicodedata
from pathlib import Path

MAX_NAME_BYTES = 255
"""Longest name of a file where the system does not say."""

_MAX_SUFFIX_BYTES = 16
"""Longest ending that is a suffix and not a part of the name."""


def max_name_bytes(folder: str | os.PathLike) -> int:
    """Return how long the name of a file in a folder may be.

    Args:
        folder (str | PathLike): The folder; it may be missing.

    Returns:
        int: Bytes, on Windows UTF-16 units.
    """
    try:
        return os.pathconf(_nearest_folder(Path(folder)), 'PC_NAME_MAX')
    except (AttributeError, OSError, ValueError):
        return MAX_NAME_BYTES


def fit_name(name: str, folder: str | os.PathLike, reserve: int = 0) -> str:
    """Shorten a file name that the system would not take.

    Args:
        name (str): The name.
        folder (str | PathLike): Where the file will be.
        reserve (int): Bytes to leave free.

    Returns:
        str: The name if it is short enough; otherwise its beginning and suffix, with a
        checksum of the complete name between them.
    """
    limit = max_name_bytes(folder) - reserve
    if _length(name) <= limit:
        return name
    stem, suffix = os.path.splitext(name)
    if _length(suffix) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ''
    checksum = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    ending = f'~{checksum}{suffix}'
    while _length(stem + ending) > limit:
        stem = stem[:-1]
    return stem + ending


def check_name(path: str | os.PathLike) -> None:
    """Raise a ValueError if a part of a path is longer than the system takes."""
    path = Path(path)
    for place in (path, *path.parents):
        limit = max_name_bytes(place.parent)
        if _length(place.name) > limit:
            raise ValueError(
                f'{path} cannot be written: the name {place.name[:20]}... has '
                f'{_length(place.name)} bytes, at most {limit} are possible; choose a '
                'shorter one'
            )


def same_place(path: str | os.PathLike, other: str | os.PathLike) -> bool:
    """Whether two paths lead to the same file or folder, which may be missing."""
    return place_key(path) == place_key(other)


def place_key(path: str | os.PathLike) -> tuple[str, str] | tuple[int, int]:
    """Return a key that is the same for all names of a file or folder.

    Links are followed, hard ones too, and the names of what is missing are compared as
    the file system does.
    """
    try:
        status = os.stat(path)
        if status.st_ino:
            return status.st_dev, status.st_ino
    except (OSError, ValueError):
        pass
    path = Path(os.path.realpath(path))
    name = unicodedata.normalize('NFC', path.name)
    if _ignores_case(path.parent):
        name = name.casefold()
    return str(path.parent), name


def printable(name: str | os.PathLike) -> str:
    """Return a name for text in UTF-8; bytes that are not UTF-8 become ``\\xe9``."""
    return os.fsencode(name).decode('utf-8', 'backslashreplace')


def print_any_name() -> None:
    """Let standard output and standard error take names that are not UTF-8."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, 'reconfigure', None)
        if reconfigure is not None:
            reconfigure(errors='backslashreplace')


def _ignores_case(folder: Path) -> bool:
    """Whether the file system of a folder takes ``A`` and ``a`` for the same name."""
    folder = _nearest_folder(folder)
    swapped = folder.with_name(folder.name.swapcase()) if folder.name else folder
    try:
        return swapped != folder and os.path.samefile(swapped, folder)
    except (OSError, ValueError):
        return False


def _nearest_folder(folder: Path) -> Path:
    for place in (folder, *folder.parents):
        if os.path.isdir(place):
            return place
    return Path(os.curdir)


def _length(name: str) -> int:
    if os.name == 'nt':
        return len(name.encode('utf-16-le', 'surrogatepass')) // 2
    return len(os.fsencode(name))
