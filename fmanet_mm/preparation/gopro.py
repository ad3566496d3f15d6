"""Making the low-resolution frames of GoPro."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm.contrib.concurrent import process_map

from ..datasets.degradation import bicubic_downsample
from ..utils.annotation import write_annotation
from ..video.images import read_image

# Clips and frames of the official set.
SPLITS = {'test': (11, 1111), 'train': (22, 2103)}
BLURS = ('blur', 'blur_gamma')


def prepare_gopro(
    root: str | os.PathLike,
    splits: Sequence[str] = ('test',),
    blur: str = 'blur',
    scale: int = 4,
    num_processes: int = 1,
    counts: dict[str, tuple[int, int]] = SPLITS,
) -> dict[str, Path]:
    """Shrink frames of GoPro as MATLAB does, and write annotation files.

    Of ``<split>/<clip>/<blur>/<frame>.png`` it makes
    ``<split>_<blur>_bicubic/X<scale>/<clip>/<frame>.png``, of the sharp frames
    ``<split>_sharp_bicubic/...``; see :func:`bicubic_downsample`. The sharp HR frames
    are used where they are. Frames that are there already are kept.

    Args:
        root (str | PathLike): The official tree: ``<split>/<clip>/`` with the folders
            ``blur``, ``blur_gamma`` and ``sharp``.
        splits (Sequence[str]): ``'test'``, ``'train'``, or both.
        blur (str): ``'blur'``, averages of the frames as they are, or ``'blur_gamma'``,
            averages under the camera's response curve.
        scale (int): Ratio of HR to LR size, s.
        num_processes (int): Number of processes.
        counts (dict[str, tuple[int, int]]): Clips and frames by split, that there must
            be.

    Returns:
        dict[str, Path]: The annotation files by split.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If an argument is out of range, there are other numbers of clips or
            frames than ``counts``, the blurry and the sharp frames of a clip differ in
            names, or a frame cannot be read or shrunk.
    """
    root = Path(root)
    if not splits or not set(splits) <= set(counts):
        raise ValueError(f'splits must be out of {[*counts]}, got {[*splits]}.')
    if blur not in BLURS:
        raise ValueError(f'blur must be one of {BLURS}, got {blur!r}.')
    if scale < 2:
        raise ValueError(f'scale must be at least 2, got {scale}.')
    if num_processes < 1:
        raise ValueError(f'num_processes must be at least 1, got {num_processes}.')
    clips = {split: _find_clips(root / split, blur, counts[split]) for split in splits}
    jobs = [
        (source, root / f'{split}_{kind}_bicubic/X{scale}' / clip / source.name)
        for split in splits
        for clip, frames in clips[split].items()
        for kind in (blur, 'sharp')
        for source in [root / split / clip / kind / name for name in frames]
    ]
    process_map(
        partial(_shrink, scale=scale),
        *zip(*jobs, strict=True),
        max_workers=num_processes,
        chunksize=8,
        desc='Shrinking frames',
        unit='frame',
    )
    files = {split: root / f'{split}.txt' for split in splits}
    for split, file in files.items():
        write_annotation(
            file, {clip: len(frames) for clip, frames in clips[split].items()}
        )
    return files


def _find_clips(
    folder: Path, blur: str, counts: tuple[int, int]
) -> dict[str, list[str]]:
    """Names of the frames by clip."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f'There is no folder {folder}. Unpack GOPRO_Large.zip there.'
        )
    clips = {}
    for clip in sorted(filter(Path.is_dir, folder.iterdir())):
        blurry, sharp = (_list_frames(clip / kind) for kind in (blur, 'sharp'))
        different = sorted(set(blurry) ^ set(sharp))
        if different:
            raise ValueError(
                f'{clip} has {len(blurry)} frames in {blur}/ and {len(sharp)} in '
                f'sharp/; they must have the same names, but {different[0]} is in one '
                'of them only.'
            )
        clips[clip.name] = sharp
    found = len(clips), sum(map(len, clips.values()))
    if found != counts:
        raise ValueError(
            f'{folder} has {found[0]} clips with {found[1]:,} frames; the official set '
            f'has {counts[0]} with {counts[1]:,}. Unpack GOPRO_Large.zip again.'
        )
    return clips


def _list_frames(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f'There is no folder {folder}. The tree must be that of GOPRO_Large.zip.'
        )
    return sorted(path.name for path in folder.glob('*.png'))


def _shrink(source: Path, out: Path, scale: int) -> None:
    """Make one frame, unless it is there; it gets its name when it is whole."""
    if out.is_file():
        return
    torch.set_num_threads(1)
    try:
        small = bicubic_downsample(read_image(source), scale)
    except ValueError as error:
        raise ValueError(f'{source} cannot be shrunk: {error}') from error
    _write_png(out, small)


def _write_png(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.unfinished_{path.name}')
    if not cv2.imwrite(str(unfinished), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
        raise OSError(f'{path} cannot be written. Is the disk full?')
    os.replace(unfinished, path)
