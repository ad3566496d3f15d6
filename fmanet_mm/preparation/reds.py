"""Preparation of the official REDS folders: links, checks, annotation files."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from ..datasets.reds import REDS4
from ..utils.annotation import write_annotation
from ..utils.clips import list_entries, list_frames

SPLITS = {'train': 240, 'val': 30}
"""Numbers of clips of the official set."""

CLIP_LENGTH = 100
"""Frames of each clip."""

FRAME_SIZE = (720, 1280)
"""(H, W) of the sharp HR frames."""

SCALE = 4
"""Ratio of HR to LR size."""

_PNG_END = b'IEND\xaeB`\x82'
_SHOWN_PROBLEMS = 10


def prepare_reds(
    root: str | os.PathLike,
    splits: dict[str, int] = SPLITS,
    clip_length: int = CLIP_LENGTH,
    frame_size: tuple[int, int] = FRAME_SIZE,
) -> dict[str, Path]:
    """Check the frames of REDS and write its annotation files.

    Nothing is copied. Folders nested as in the official archives,
    ``train/train_sharp``, get a link ``train_sharp`` in the root, where the configs
    expect them.

    Args:
        root (str | PathLike): Folder with ``<split>_sharp``,
            ``<split>_blur_bicubic/X4`` and ``<split>_sharp_bicubic/X4``, or with these
            inside ``<split>``.
        splits (dict[str, int]): Number of clips by split.
        clip_length (int): Frames of each clip.
        frame_size (tuple[int, int]): (H, W) of the sharp HR frames.

    Returns:
        dict[str, Path]: The annotation files by split, that of ``train`` without REDS4;
        also ``'REDS4'`` if there is a split ``train``.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If clips or frames are missing, superfluous, truncated or of another
            size; it names the first of them and their number.
    """
    root = Path(root)
    kinds = {split: _find_kinds(root, split, frame_size) for split in splits}
    names = {
        split: [f'{number:03d}' for number in range(count)]
        for split, count in splits.items()
    }
    total = sum(len(names[split]) * clip_length * len(kinds[split]) for split in splits)
    problems = []
    with tqdm(desc='Checking frames', total=total, unit='frame') as progress:
        for split in splits:
            for folder, size in kinds[split].items():
                found = _check_kind(folder, names[split], clip_length, size, progress)
                problems += found
    if problems:
        shown = problems[:_SHOWN_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f'... and {len(problems) - len(shown)} more')
        raise ValueError(
            f'{root} is not the official REDS, {len(problems)} things differ:\n  '
            + '\n  '.join(shown)
            + '\nunpack the archives with missing or damaged files again'
        )
    for split in splits:
        for folder in kinds[split]:
            _link(root, split, folder)
    clips = dict(names)
    if 'train' in clips:
        clips['REDS4'] = [name for name in clips['train'] if name in REDS4]
        clips['train'] = [name for name in clips['train'] if name not in REDS4]
    files = {name: root / f'{name}.txt' for name in clips}
    for name, file in files.items():
        write_annotation(file, dict.fromkeys(clips[name], clip_length))
    return files


def _find_kinds(
    root: Path, split: str, size: tuple[int, int]
) -> dict[Path, tuple[int, int]]:
    """Folders of a split that hold clips, with the (H, W) of their frames."""
    small = size[0] // SCALE, size[1] // SCALE
    names = {
        f'{split}_sharp': size,
        f'{split}_blur_bicubic/X{SCALE}': small,
        f'{split}_sharp_bicubic/X{SCALE}': small,
    }
    found = {}
    for name, expected in names.items():
        places = [root / name, root / split / name]
        folder = next(filter(Path.is_dir, places), None)
        if folder is None:
            raise FileNotFoundError(
                f'there is neither {places[0]} nor {places[1]}; unpack '
                f'{name.partition("/")[0]}.zip of REDS in {root}'
            )
        found[folder] = expected
    return found


def _check_kind(
    folder: Path,
    clips: list[str],
    length: int,
    size: tuple[int, int],
    progress: tqdm,
) -> Iterator[str]:
    """Yield the faults of the clips of a kind."""
    stems = [f'{number:08d}.png' for number in range(length)]
    there = [entry.name for entry in list_entries(folder)]
    yield from _compare(folder, 'clips', clips, there)
    for clip in sorted(set(clips) & set(there)):
        there = list_frames(folder / clip)
        yield from _compare(folder / clip, 'frames', stems, there)
        for name in sorted(set(stems) & set(there)):
            problem = check_png(folder / clip / name, size)
            if problem:
                yield problem
            progress.update()


def _compare(
    folder: Path, what: str, expected: Iterable[str], found: Iterable[str]
) -> Iterator[str]:
    expected, found = set(expected), set(found)
    for names, verb in ((expected - found, 'lacks'), (found - expected, 'also has')):
        if names:
            yield (
                f'{folder} has {len(found)} of {len(expected)} {what}; it {verb} '
                f'{len(names)}, the first is {min(names)}'
            )


def check_png(path: Path, size: tuple[int, int]) -> str | None:
    """Check the header and the end of a PNG without decoding it.

    Args:
        path (Path): The file.
        size (tuple[int, int]): Expected (H, W).

    Returns:
        str | None: The fault, if there is one.
    """
    try:
        with Image.open(path, formats=['PNG']) as image:
            found = image.height, image.width
    except OSError:
        return f'{path} is not a PNG'
    if found != size:
        return f'{path} has (H, W) = {found} instead of {size}'
    with open(path, 'rb') as file:
        file.seek(-len(_PNG_END), os.SEEK_END)
        if file.read() != _PNG_END:
            return f'{path} is truncated'
    return None


def _link(root: Path, split: str, folder: Path) -> None:
    """Make a link ``<root>/train_sharp`` to ``<root>/train/train_sharp``."""
    first, *_ = folder.relative_to(root).parts
    if first == split:
        kind = folder.relative_to(root / split).parts[0]
        (root / kind).symlink_to(Path(split, kind), target_is_directory=True)
