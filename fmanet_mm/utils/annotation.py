"""Annotation files: which clips a set has."""

import os
import re
from os import PathLike
from pathlib import Path, PurePosixPath

_NUMBER = re.compile('[0-9]{1,9}')


def read_annotation(ann_file: str | PathLike) -> dict[str, int | None]:
    """Read which clips a set has.

    Args:
        ann_file (str | PathLike): File with a line ``<clip> <number of frames>``, or
            just ``<clip>``, for each clip.

    Returns:
        dict[str, int | None]: Number of frames by clip, None where it is not given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no UTF-8 text, or a line is malformed, leaves the
            folder of the clips, or repeats a clip.
    """
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'There is no annotation file {ann_file}.')
    try:
        text = Path(ann_file).read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file} is no UTF-8 text ({error}).') from error
    clips = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.rsplit(maxsplit=1)
        if not words:
            continue
        clip, length = words[0].strip(), words[1:]
        path = PurePosixPath(clip)
        inside = path.parts and not path.is_absolute() and '..' not in path.parts
        if not inside or not all(map(_NUMBER.fullmatch, length)):
            raise ValueError(
                f'{ann_file}, line {number} must be "<clip> <number of frames>" or '
                f'"<clip>", a folder below that of the kind, got {line!r}.'
            )
        if clip in clips:
            raise ValueError(f'{ann_file}, line {number} repeats clip {clip}.')
        clips[clip] = int(length[0]) if length else None
    return clips


def write_annotation(ann_file: str | PathLike, clips: dict[str, int]) -> None:
    """Write which clips a set has, for :func:`read_annotation`.

    Args:
        ann_file (str | PathLike): File to write, whole or not at all.
        clips (dict[str, int]): Number of frames by clip.
    """
    path = Path(ann_file)
    unfinished = path.with_name(f'.unfinished_{path.name}')
    unfinished.write_text(''.join(f'{clip} {clips[clip]}\n' for clip in clips))
    os.replace(unfinished, path)
