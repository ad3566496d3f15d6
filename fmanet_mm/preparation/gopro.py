"""Low-resolution frames and annotation files of GoPro."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from tqdm.contrib.concurrent import process_map

from ..utils.annotation import write_annotation
from ..utils.clips import list_clips, list_frames
from ..utils.degradation import bicubic_downsample
from ..video.images import read_image
from .png import write_png

SPLITS = {'test': (11, 1111), 'train': (22, 2103)}
"""Numbers of clips and frames of the official set."""

BLURS = ('blur', 'blur_gamma')
"""Folders of blurry frames: plain averages, and under the camera's response curve."""


def prepare_gopro(
    root: str | os.PathLike,
    splits: Sequence[str] = ('test',),
    blur: str = 'blur',
    scale: int = 4,
    num_processes: int = 1,
    counts: dict[str, tuple[int, int]] = SPLITS,
) -> dict[str, Path]:
    """Downsample frames of GoPro like MATLAB, and write annotation files.

    From ``<split>/<clip>/<blur>/<frame>.png`` it makes
    ``<split>_<blur>_bicubic/X<scale>/<clip>/<frame>.png``, from the sharp frames
    ``<split>_sharp_bicubic/...``; see :func:`bicubic_downsample`. The sharp HR frames
    are used in place. Existing frames are kept.

    Args:
        root (str | PathLike): The official tree: ``<split>/<clip>/`` with the folders
            ``blur``, ``blur_gamma`` and ``sharp``.
        splits (Sequence[str]): ``'test'``, ``'train'``, or both.
        blur (str): ``'blur'``, averages of pixel values, or ``'blur_gamma'``, averages
            under the camera's response curve.
        scale (int): Ratio of HR to LR size, s.
        num_processes (int): Number of processes.
        counts (dict[str, tuple[int, int]]): Expected numbers of clips and frames by
            split.

    Returns:
        dict[str, Path]: The annotation files by split.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If an argument is out of range, the numbers of clips or frames are
            not those of ``counts``, the blurry and sharp frames of a clip have
            different names, or a frame cannot be read or downsampled.
    """
    root = Path(root)
    if not splits or not set(splits) <= set(counts):
        raise ValueError(f'splits must be from {[*counts]}, got {[*splits]}')
    if blur not in BLURS:
        raise ValueError(f'blur must be one of {BLURS}, got {blur!r}')
    if scale < 2:
        raise ValueError(f'scale must be at least 2, got {scale}')
    if num_processes < 1:
        raise ValueError(f'num_processes must be at least 1, got {num_processes}')
    clips = {split: _list_split(root / split, blur, counts[split]) for split in splits}
    jobs = [
        (source, root / f'{split}_{kind}_bicubic/X{scale}' / clip / source.name)
        for split in splits
        for clip, frames in clips[split].items()
        for kind in (blur, 'sharp')
        for source in [root / split / clip / kind / name for name in frames]
    ]
    process_map(
        partial(_downsample_file, scale=scale),
        *zip(*jobs, strict=True),
        max_workers=num_processes,
        chunksize=8,
        desc='Downsampling frames',
        unit='frame',
    )
    files = {split: root / f'{split}.txt' for split in splits}
    for split, file in files.items():
        write_annotation(
            file, {clip: len(frames) for clip, frames in clips[split].items()}
        )
    return files


def _list_split(
    folder: Path, blur: str, counts: tuple[int, int]
) -> dict[str, list[str]]:
    """Names of the frames of a split by clip."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f'there is no folder {folder}; unpack GOPRO_Large.zip there'
        )
    clips = {}
    for name in list_clips(folder):
        clip = folder / name
        blurry, sharp = (_list_kind(clip / kind) for kind in (blur, 'sharp'))
        different = sorted(set(blurry) ^ set(sharp))
        if different:
            raise ValueError(
                f'{clip} has {len(blurry)} frames in {blur}/ and {len(sharp)} in '
                f'sharp/; they must have the same names, but {different[0]} is in one '
                'of them only'
            )
        clips[name] = sharp
    found = len(clips), sum(map(len, clips.values()))
    if found != counts:
        raise ValueError(
            f'{folder} has {found[0]} clips with {found[1]:,} frames; the official set '
            f'has {counts[0]} with {counts[1]:,}; unpack GOPRO_Large.zip again'
        )
    return clips


def _list_kind(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f'there is no folder {folder}; the tree must be that of GOPRO_Large.zip'
        )
    return list_frames(folder)


def _downsample_file(source: Path, out: Path, scale: int) -> None:
    """Downsample one frame, unless the result exists."""
    if out.is_file():
        return
    torch.set_num_threads(1)
    try:
        small = bicubic_downsample(read_image(source), scale)
    except ValueError as error:
        raise ValueError(f'{source} cannot be downsampled: {error}') from error
    write_png(out, small)
