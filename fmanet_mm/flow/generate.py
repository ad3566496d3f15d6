"""Generation of the flow files of a VSRDB set."""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmagic.registry import MODELS
from mmengine.utils import ProgressBar

from ..utils.annotation import read_annotation
from ..utils.clips import list_clips, list_frames
from ..utils.files import atomic_write
from ..video.images import read_image
from .io import flow_filename, load_flow, save_flow

INFO_FILE = 'flow_info.json'
"""File in the flow folder that records how its files were made.

It prevents mixing flow of different settings.
"""


class FlowPair(NamedTuple):
    """A flow to estimate and its file."""

    source: Path
    target: Path
    out: Path


def generate_flow(
    sharp_lr: str | os.PathLike,
    out: str | os.PathLike,
    estimator: dict,
    num_frames: int = 3,
    dtype: str = 'float16',
    batch_size: int = 8,
    device: str = 'cpu',
    ann_file: str | os.PathLike | None = None,
) -> int:
    """Write the flow from every frame to its neighbours in a window.

    The flow from frame i to frame j goes to ``<out>/<clip>/<i>_<j>.npy``, for all
    j != i with \\|i - j\\| <= ``num_frames`` // 2 inside the clip. Intact existing
    files are kept; damaged files and those of another size are re-created.

    Args:
        sharp_lr (str | PathLike): Folder with a folder of sharp low-resolution PNG
            frames, numbered without gaps, for every clip.
        out (str | PathLike): Folder of the flow files.
        estimator (dict): Config of a :class:`FlowEstimator`, built only if there is
            work to do.
        num_frames (int): Window length T, odd.
        dtype (str): ``'float16'`` or ``'float32'``.
        batch_size (int): Number of pairs estimated at once.
        device (str): Device of the estimator.
        ann_file (str | PathLike, optional): The clips to process; see
            :func:`fmanet_mm.utils.annotation.read_annotation`. By default all.

    Returns:
        int: Number of files written.

    Raises:
        FileNotFoundError: If a folder, a frame or the annotation file is missing.
        ValueError: If an argument is out of range, a frame cannot be read or differs
            in size from the others of its clip, the annotation contradicts the
            folders, or ``out`` holds flow that was made in another way.
    """
    if num_frames < 3 or num_frames % 2 == 0:
        raise ValueError(f'num_frames must be odd and at least 3, got {num_frames}')
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}')
    if dtype not in ('float16', 'float32'):
        raise ValueError(f'dtype must be float16 or float32, got {dtype!r}')
    clips = find_clips(Path(sharp_lr), ann_file)
    info = _describe(estimator, dtype)
    _check_info(Path(out, INFO_FILE), info)

    pending = {
        clip: _find_pending(frames, Path(out, clip), num_frames)
        for clip, frames in clips.items()
    }
    number = sum(map(len, pending.values()))
    if number == 0:
        return 0

    net = MODELS.build(estimator).to(device)
    with atomic_write(Path(out, INFO_FILE)) as draft:
        draft.write_text(info)
    progress = ProgressBar(number)
    for pairs in pending.values():
        read = lru_cache(maxsize=num_frames)(read_image)
        for start in range(0, len(pairs), batch_size):
            batch = pairs[start : start + batch_size]
            sources = [read(pair.source) for pair in batch]
            targets = [read(pair.target) for pair in batch]
            _check_sizes(batch, sources, targets)
            flows = net.estimate_arrays(sources, targets)
            for pair, flow in zip(batch, flows, strict=True):
                save_flow(pair.out, flow, dtype)
                progress.update()
    return number


def find_clips(
    root: Path, ann_file: str | os.PathLike | None = None
) -> dict[str, list[Path]]:
    """Find the frames of every clip.

    Args:
        root (Path): Folder with a folder of numbered PNG frames for every clip.
        ann_file (str | PathLike, optional): See :func:`generate_flow`.

    Returns:
        dict[str, list[Path]]: The frames of every clip in order.

    Raises:
        FileNotFoundError: If a folder, a frame or the annotation file is missing.
        ValueError: If the annotation is malformed or contradicts the folders.
    """
    if not root.is_dir():
        raise FileNotFoundError(
            f'there is no folder of sharp LR frames {root}; check the path'
        )
    if ann_file is None:
        clips = {name: _find_frames(root / name) for name in list_clips(root)}
    else:
        clips = {}
        for name, length in read_annotation(ann_file).items():
            clips[name] = _find_frames(root / name)
            if length not in (None, len(clips[name])):
                raise ValueError(
                    f'{root / name} holds {len(clips[name])} frames, but {ann_file} '
                    f'says {length}'
                )
    if not clips:
        raise FileNotFoundError(f'there are no clips in {ann_file or root}')
    return clips


def find_pairs(frames: list[Path], out: Path, num_frames: int) -> list[FlowPair]:
    """List the flows of a clip: every frame to its neighbours in a window.

    Args:
        frames (list[Path]): Frames of the clip in order.
        out (Path): Folder of the clip's flow files.
        num_frames (int): Window length T, odd.

    Returns:
        list[FlowPair]: Pairs, those with the same source next to each other.
    """
    reach = num_frames // 2
    return [
        FlowPair(frame, other, out / flow_filename(frame.stem, other.stem))
        for i, frame in enumerate(frames)
        for j, other in enumerate(frames)
        if 0 < abs(i - j) <= reach
    ]


def _find_frames(folder: Path) -> list[Path]:
    frames = [folder / name for name in list_frames(folder)]
    if not frames:
        raise FileNotFoundError(f'there are no PNG frames in {folder}')
    for frame in frames:
        if not frame.stem.isdigit():
            raise ValueError(f'frame {frame} must be named by its number')
    first = int(frames[0].stem)
    for number, frame in enumerate(frames, start=first):
        if int(frame.stem) != number:
            missing = f'{number:0{len(frame.stem)}d}.png'
            raise FileNotFoundError(f'frame {folder / missing} is missing')
    return frames


def _describe(estimator: dict, dtype: str) -> str:
    """Describe how flow files are made; the checkpoint only by its file name."""
    estimator = dict(estimator)
    if 'checkpoint' in estimator:
        estimator['checkpoint'] = Path(estimator['checkpoint']).name
    return json.dumps(dict(dtype=dtype, estimator=estimator), indent=2)


def _check_info(path: Path, info: str) -> None:
    """Raise if the folder holds flow files made in another way."""
    if path.is_file() and path.read_text() != info:
        raise ValueError(
            f'{path.parent} holds flow made with {path.read_text()}, but {info} is '
            'requested; choose another folder, or delete this one'
        )


def _find_pending(frames: list[Path], out: Path, num_frames: int) -> list[FlowPair]:
    """List the pairs of a clip whose flow file is missing or damaged."""
    shape = read_image(frames[0]).shape[:2]
    pending = []
    for pair in find_pairs(frames, out, num_frames):
        try:
            load_flow(pair.out, shape)
        except (FileNotFoundError, ValueError):
            pending.append(pair)
    return pending


def _check_sizes(
    batch: list[FlowPair], sources: list[np.ndarray], targets: list[np.ndarray]
) -> None:
    expected = sources[0].shape
    paths = [pair.source for pair in batch] + [pair.target for pair in batch]
    for path, frame in zip(paths, sources + targets, strict=True):
        if frame.shape != expected:
            raise ValueError(
                f'frame {path} has (H, W) = {frame.shape[:2]}, but {paths[0]} has '
                f'{expected[:2]}; the frames of a clip must have one size'
            )
