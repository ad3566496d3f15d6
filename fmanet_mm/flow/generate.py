"""Making the flow files of a VSRDB set."""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmagic.registry import MODELS
from mmengine.utils import ProgressBar

from ..utils.annotation import read_annotation
from .io import flow_filename, load_flow, save_flow

# Says in the flow folder how its files were made, so that runs are not mixed.
INFO_FILE = 'flow_info.json'


class FlowPair(NamedTuple):
    """A flow to estimate and the file it goes to."""

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
    j != i with \\|i - j\\| <= ``num_frames`` // 2 inside the clip. Sound files that are
    there already are kept; broken ones and those of another size are made anew.

    Args:
        sharp_lr (str | PathLike): Folder with a folder of sharp low-resolution PNG
            frames, numbered without gaps, for every clip.
        out (str | PathLike): Folder of the flow files.
        estimator (dict): Config of a :class:`FlowEstimator`. Built only if there is
            anything to do.
        num_frames (int): Window length T, odd.
        dtype (str): ``'float16'`` or ``'float32'``.
        batch_size (int): Number of pairs estimated at once.
        device (str): Device of the estimator.
        ann_file (str | PathLike, optional): The clips to treat, see
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
        raise ValueError(f'num_frames must be odd and at least 3, got {num_frames}.')
    if batch_size < 1:
        raise ValueError(f'batch_size must be at least 1, got {batch_size}.')
    if dtype not in ('float16', 'float32'):
        raise ValueError(f'dtype must be float16 or float32, got {dtype!r}.')
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
    _write_info(Path(out, INFO_FILE), info)
    progress = ProgressBar(number)
    for pairs in pending.values():
        read = lru_cache(maxsize=num_frames)(read_frame)
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
        raise FileNotFoundError(f'There is no folder of sharp LR frames {root}.')
    if ann_file is None:
        names = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        clips = {name: _find_frames(root / name) for name in names}
    else:
        clips = {}
        for name, length in read_annotation(ann_file).items():
            clips[name] = _find_frames(root / name)
            if length not in (None, len(clips[name])):
                raise ValueError(
                    f'{root / name} holds {len(clips[name])} frames, but {ann_file} '
                    f'says {length}.'
                )
    if not clips:
        raise FileNotFoundError(f'There are no clips in {ann_file or root}.')
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


def read_frame(path: Path) -> np.ndarray:
    """Read a frame as uint8 RGB of shape (H, W, 3).

    Raises:
        ValueError: If the file is no readable image.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'Frame {path} cannot be read as an image.')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _find_frames(folder: Path) -> list[Path]:
    frames = sorted(folder.glob('*.png'))
    if not frames:
        raise FileNotFoundError(f'There are no PNG frames in {folder}.')
    for frame in frames:
        if not frame.stem.isdigit():
            raise ValueError(f'Frame {frame} must be named by its number.')
    first = int(frames[0].stem)
    for number, frame in enumerate(frames, start=first):
        if int(frame.stem) != number:
            missing = f'{number:0{len(frame.stem)}d}.png'
            raise FileNotFoundError(f'Frame {folder / missing} is missing.')
    return frames


def _describe(estimator: dict, dtype: str) -> str:
    """Say how flow files are made; where the checkpoint lies does not matter."""
    estimator = dict(estimator)
    if 'checkpoint' in estimator:
        estimator['checkpoint'] = Path(estimator['checkpoint']).name
    return json.dumps(dict(dtype=dtype, estimator=estimator), indent=2)


def _check_info(path: Path, info: str) -> None:
    """Refuse to add to flow files that were made in another way."""
    if path.is_file() and path.read_text() != info:
        raise ValueError(
            f'{path.parent} holds flow made with {path.read_text()}, now {info} is '
            'asked for. Choose another folder, or delete this one.'
        )


def _write_info(path: Path, info: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
    temporary.write_text(info)
    os.replace(temporary, path)


def _find_pending(frames: list[Path], out: Path, num_frames: int) -> list[FlowPair]:
    """List the pairs of a clip whose flow file is missing or unsound."""
    shape = read_frame(frames[0]).shape[:2]
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
                f'Frame {path} has (H, W) = {frame.shape[:2]}, but {paths[0]} has '
                f'{expected[:2]}. The frames of a clip must have one size.'
            )
