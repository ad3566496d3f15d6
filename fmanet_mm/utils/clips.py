"""Listing of clips and frames on disk, the same for all tools."""

import os
from collections.abc import Iterable
from pathlib import Path

SYSTEM_FILES = (
    *('thumbs.db', 'ehthumbs.db', 'desktop.ini', '$recycle.bin'),
    *('system volume information', '__macosx', 'icon\r', 'lost+found'),
    *('@eadir', '#recycle', '@recycle', '@recently-snapshot'),
)
"""Names, in lower case, that Windows, macOS and NAS systems leave in folders."""


def is_clutter(name: str) -> bool:
    """Whether a file or folder belongs to the system or an editor, not to the data.

    Those are hidden ones, such as ``.DS_Store``, ``._00000000.png`` and
    ``.ipynb_checkpoints``, and :data:`SYSTEM_FILES`.
    """
    return name.startswith('.') or name.lower() in SYSTEM_FILES


def drop_clutter(names: Iterable[str]) -> list[str]:
    """Keep the names of data, see :func:`is_clutter`."""
    return [name for name in names if not is_clutter(name)]


def list_entries(folder: str | os.PathLike) -> list[Path]:
    """List the files and folders in a folder, by name, without clutter.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'there is no folder {folder}; check the path')
    return [folder / name for name in sorted(drop_clutter(os.listdir(folder)))]


def list_clips(folder: str | os.PathLike) -> list[str]:
    """List the clips in a folder that has a folder for each, by name.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    return [entry.name for entry in list_entries(folder) if entry.is_dir()]


def list_frames(folder: str | os.PathLike) -> list[str]:
    """List the file names of the PNG frames of a clip, by name.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    return [entry.name for entry in list_entries(folder) if entry.suffix == '.png']
