"""Checking every file of a set before days of training depend on it."""

import os
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise

import cv2
from mmagic.registry import DATASETS
from tqdm import tqdm

from ..flow import load_flow
from .transforms import LoadFrames
from .vsrdb import VSRDBDataset

Size = tuple[int, int]
DEFAULT_SCALE = 4
"""Ratio of HR to LR size where no pipeline sets it."""


@dataclass(frozen=True)
class Fault:
    """A fault of a file, a folder or a clip.

    Attributes:
        path (str): Its path.
        problem (str): Message that also names the path.
    """

    path: str
    problem: str


@dataclass
class CheckReport:
    """Result of :func:`check_datasets`.

    Attributes:
        num_clips (int): Number of clips checked.
        num_files (int): Number of files read.
        complete (bool): False if the check was interrupted.
        faults (list[Fault]): All faults.
    """

    num_clips: int = 0
    num_files: int = 0
    complete: bool = True
    faults: list[Fault] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the check is complete and found no fault."""
        return self.complete and not self.faults

    def to_dict(self) -> dict:
        """Convert the report to plain values."""
        return asdict(self)


@dataclass
class ClipFiles:
    """The files of a clip that exist.

    Attributes:
        folder (str): Folder of its blurry LR frames.
        scale (int): Ratio of HR to LR size, s.
        files (dict[str, list[str]]): Paths by kind.
    """

    folder: str
    scale: int
    files: dict[str, list[str]]


def find_datasets(config: dict | Sequence[dict]) -> Iterator[dict]:
    """Find the sets on disk that a data loader reads.

    Args:
        config (dict | Sequence[dict]): Config of a loader or dataset, possibly with
            wrappers such as ``ConcatDataset``, or several configs.

    Yields:
        dict: Config of a :class:`VSRDBDataset`.

    Raises:
        ValueError: If the type of a dataset is unknown.
    """
    if not isinstance(config, dict):
        for part in config:
            yield from find_datasets(part)
    elif 'datasets' in config or 'dataset' in config:
        yield from find_datasets(config.get('datasets') or config['dataset'])
    else:
        kind = DATASETS.get(config['type'])
        if kind is None:
            raise ValueError(f'there is no dataset of type {config["type"]!r}')
        if issubclass(kind, VSRDBDataset):
            yield config


def check_datasets(configs: Iterable[dict], num_processes: int = 1) -> CheckReport:
    """Check that all clips are complete, all files readable and all sizes consistent.

    - The kinds of a clip have the same frames without gaps, the number of frames that
      the annotation gives and a window needs, and all flow files.
    - Every image can be decoded; every flow file can be read and is finite.
    - The LR frames and the flow of a clip have one size, the HR frames s times that.
      The scale s is that of the pipeline, else 4.

    When interrupted (Ctrl-C), it returns the faults found so far.

    Args:
        configs (Iterable[dict]): Configs of :class:`VSRDBDataset`; a file in several of
            them is read once.
        num_processes (int): Number of reading processes.

    Returns:
        CheckReport: All faults.

    Raises:
        ValueError: If a config has an argument out of range.
        BrokenProcessPool: If a process is killed.
    """
    report = CheckReport()
    clips: list[ClipFiles] = []
    sizes: dict[str, Size] = {}
    try:
        for config in configs:
            found, faults = list_clips(config)
            clips += found
            report.faults += faults
        kinds = {
            path: kind
            for clip in clips
            for kind, paths in clip.files.items()
            for path in paths
        }
        for path, result in _measure_all(kinds, num_processes):
            report.num_files += 1
            if isinstance(result, str):
                report.faults.append(Fault(path, result))
            else:
                sizes[path] = result
    except KeyboardInterrupt:
        report.complete = False
    report.num_clips = len({clip.folder for clip in clips})
    for clip in clips:
        report.faults += _compare_sizes(clip, sizes)
    report.faults = list(dict.fromkeys(report.faults))
    return report


def list_clips(config: dict) -> tuple[list[ClipFiles], list[Fault]]:
    """List the files of a set and those that are missing.

    Args:
        config (dict): Config of a :class:`VSRDBDataset`.

    Returns:
        tuple[list[ClipFiles], list[Fault]]: Existing files and faults.
    """
    scales = [step['scale'] for step in config.get('pipeline', []) if 'scale' in step]
    scale = scales[0] if scales else DEFAULT_SCALE
    dataset = DATASETS.build({**config, 'pipeline': [], 'lazy_init': True})
    try:
        lengths = dataset.select_clips(dataset.find_clips())
    except (FileNotFoundError, ValueError) as error:
        return [], [Fault(dataset.ann_file or dataset.data_root, str(error))]
    if not lengths:
        path = dataset.ann_file or dataset.data_prefix['img']
        return [], [Fault(path, f'there are no clips in {path}')]
    clips, faults = [], []
    for name, length in lengths.items():
        files, found = _list_clip(dataset, name, length)
        clips.append(ClipFiles(dataset.clip_folder('img', name), scale, files))
        faults += found
    return clips, faults


def _list_clip(
    dataset: VSRDBDataset, clip: str, length: int | None
) -> tuple[dict[str, list[str]], list[Fault]]:
    """Paths by kind, and faults of missing or misnamed files."""
    stems, faults = {}, []
    for kind in dataset.image_kinds():
        stems[kind], found = _list_frames(dataset, kind, clip)
        faults += found
    files = {
        kind: [dataset.frame_path(kind, clip, stem) for stem in sorted(stems[kind])]
        for kind in stems
    }
    everything = set().union(*stems.values())
    if not everything:
        return files, faults
    first, last = int(min(everything)), int(max(everything))
    for kind, there in stems.items():
        faults += _find_gaps(
            dataset, kind, clip, {first - 1, last + 1, *map(int, there)}
        )

    count = last - first + 1
    folder = dataset.clip_folder('img', clip)
    has = f'clip {folder} has {count} frames'
    if length not in (None, count):
        faults.append(Fault(folder, f'{has}, but {dataset.ann_file} says {length}'))
    if not dataset.windows(count):
        reason, _, _ = dataset.describe_short_clip().partition(';')
        faults.append(Fault(folder, f'{has}, {reason}'))
    if 'flow' in dataset.data_prefix and len(everything) == count:
        files['flow'], found = _list_flow(dataset, clip, sorted(everything))
        faults += found
    return files, faults


def _list_frames(
    dataset: VSRDBDataset, kind: str, clip: str
) -> tuple[set[str], list[Fault]]:
    """Stems of the frames of a clip, and faults of misnamed ones."""
    stems, faults = set(), []
    folder = dataset.clip_folder(kind, clip)
    try:
        names = dataset.frame_names(kind, clip)
    except (FileNotFoundError, ValueError) as error:
        return stems, [Fault(folder, str(error))]
    for name in sorted(names):
        try:
            stems.add(dataset.frame_stem(kind, clip, name))
        except ValueError as error:
            faults.append(Fault(os.path.join(folder, name), str(error)))
    return stems, faults


def _find_gaps(
    dataset: VSRDBDataset, kind: str, clip: str, numbers: set[int]
) -> Iterator[Fault]:
    """Faults of frames missing between the smallest and the largest number."""
    if len(numbers) == 2:  # The folder is empty or missing, which is reported already.
        return
    for before, after in pairwise(sorted(numbers)):
        missing = after - before - 1
        if missing:
            path = dataset.frame_path(
                kind, clip, f'{before + 1:0{dataset.FRAME_DIGITS}d}'
            )
            more = f', of {missing} in a row' if missing > 1 else ''
            yield Fault(path, f'frame {path} is missing{more}')


def _list_flow(
    dataset: VSRDBDataset, clip: str, stems: list[str]
) -> tuple[list[str], list[Fault]]:
    """Flow files of a clip, and faults of missing ones."""
    needed = {
        path
        for window in dataset.windows(len(stems))
        for path in dataset.flow_paths(clip, [stems[index] for index in window])
        if path
    }
    folder = dataset.clip_folder('flow', clip)
    names = os.listdir(folder) if os.path.isdir(folder) else []
    there = sorted(needed.intersection(os.path.join(folder, name) for name in names))
    missing = sorted(needed.difference(there))
    if missing and not there:
        problem = (
            f'none of the {len(needed)} flow files of clip {clip} is in {folder}; make '
            f'them with {dataset.flow_command()}'
        )
        return there, [Fault(folder, problem)]
    return there, [Fault(path, f'flow file {path} is missing') for path in missing]


def _measure_all(
    kinds: dict[str, str], num_processes: int
) -> Iterator[tuple[str, Size | str]]:
    """Read files, given with their kinds, in parallel."""
    pool = ProcessPoolExecutor(num_processes, initializer=_start_process)
    try:
        results = pool.map(_measure, kinds.keys(), kinds.values(), chunksize=8)
        progress = tqdm(results, 'Reading files', len(kinds), unit='file')
        yield from zip(kinds, progress, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process() -> None:
    """Leave Ctrl-C to the waiting process, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


def _measure(path: str, kind: str) -> Size | str:
    """The (H, W) of a frame or a flow, or its fault."""
    try:
        if kind == 'flow':
            return load_flow(path).shape[:2]
        return LoadFrames(kind)({f'{kind}_path': path})[kind].shape[:2]
    except (OSError, ValueError) as error:
        return str(error)


def _compare_sizes(clip: ClipFiles, sizes: dict[str, Size]) -> Iterator[Fault]:
    """Faults of files whose size does not fit that of most LR frames of the clip."""
    found = Counter(sizes[path] for path in clip.files.get('img', []) if path in sizes)
    if not found:
        return
    [((height, width), _)] = found.most_common(1)
    for kind, paths in clip.files.items():
        factor = clip.scale if kind == 'gt' else 1
        expected = (factor * height, factor * width)
        for path in paths:
            if sizes.get(path, expected) != expected:
                yield Fault(
                    path,
                    f'{path} has (H, W) = {sizes[path]} instead of {expected}; most '
                    f'frames in {clip.folder} have {(height, width)}',
                )
