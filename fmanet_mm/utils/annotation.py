"""Annotation files, which list the clips of a set."""

import codecs
import re
from os import PathLike
from pathlib import Path, PurePosixPath

from .files import atomic_write
from .names import printable

_NUMBER = re.compile('[0-9]{1,9}')


def read_annotation(ann_file: str | PathLike) -> dict[str, int | None]:
    """Read the clips of a set.

    Args:
        ann_file (str | PathLike): File with a line ``<clip> <number of frames>``, or
            just ``<clip>``, for each clip; UTF-8, or UTF-16 with a byte order mark.

    Returns:
        dict[str, int | None]: Number of frames by clip, None where not given.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not UTF-8 text, or a line is malformed, points
            outside the folder of the clips, or repeats a clip.
    """
    if not Path(ann_file).is_file():
        raise FileNotFoundError(
            f'there is no annotation file {ann_file}; check the path'
        )
    try:
        data = Path(ann_file).read_bytes()
        is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode('utf-16' if is_utf_16 else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file} is not UTF-8 text ({error})') from error
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
                f'"<clip>", a folder below that of the kind, got {line!r}'
            )
        if clip in clips:
            raise ValueError(f'{ann_file}, line {number} repeats clip {clip}')
        clips[clip] = int(length[0]) if length else None
    return clips


def write_annotation(ann_file: str | PathLike, clips: dict[str, int]) -> None:
    """Write the clips of a set, for :func:`read_annotation`.

    Args:
        ann_file (str | PathLike): File to write, completely or not at all.
        clips (dict[str, int]): Number of frames by clip.

    Raises:
        ValueError: If the name of a clip is not UTF-8.
    """
    for clip in clips:
        if printable(clip) != clip:
            raise ValueError(
                f'the name of the clip {printable(clip)} is not UTF-8, which '
                f'{ann_file} has to be; rename the clip'
            )
    with atomic_write(ann_file) as draft:
        lines = [f'{clip} {number}\n' for clip, number in clips.items()]
        draft.write_text(''.join(lines), encoding='utf-8')
