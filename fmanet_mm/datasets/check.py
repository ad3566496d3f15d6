"""Looking at every file of a set before days of training depend on it."""

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


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file, a folder or a clip.

    Attributes:
        path (str): Which one.
        problem (str): A sentence that names it, too.
    """

    path: str
    problem: str


@dataclass
class Report:
    """What :func:`check_datasets` has found.

    Attributes:
        num_clips (int): Clips that were looked at.
        num_files (int): Files that were read.
        complete (bool): False if the check was interrupted.
        faults (list[Fault]): All that is wrong.
    """

    num_clips: int = 0
    num_files: int = 0
    complete: bool = True
    faults: list[Fault] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether all was looked at and nothing is wrong."""
        return self.complete and not self.faults

    def to_dict(self) -> dict:
        """Give the report as plain values."""
        return asdict(self)


@dataclass
class Clip:
    """The files of a clip that are there.

    Attributes:
        folder (str): Where its blurry LR frames lie.
        scale (int): Ratio of HR to LR size, s.
        files (dict[str, list[str]]): Paths by kind.
    """

    folder: str
    scale: int
    files: dict[str, list[str]]


def find_datasets(config: dict | Sequence[dict]) -> Iterator[dict]:
    """Find the sets on disk that a data loader reads.

    Args:
        config (dict | Sequence[dict]): Config of a loader or dataset, with wrappers
            such as ``ConcatDataset``, or several of them.

    Yields:
        dict: Config of a :class:`VSRDBDataset`.

    Raises:
        ValueError: If there is no dataset of such a type.
    """
    if not isinstance(config, dict):
        for part in config:
            yield from find_datasets(part)
    elif 'datasets' in config or 'dataset' in config:
        yield from find_datasets(config.get('datasets') or config['dataset'])
    else:
        kind = DATASETS.get(config['type'])
        if kind is None:
            raise ValueError(f'There is no dataset of type {config["type"]!r}.')
        if issubclass(kind, VSRDBDataset):
            yield config


def check_datasets(configs: Iterable[dict], num_processes: int = 1) -> Report:
    """Check sets: every clip is complete, every file readable, all sizes fit.

    - The kinds of a clip have the same frames without gaps, as many as the annotation
      says and a window needs, and all flow files.
    - Every image can be decoded; every flow file can be read and is finite.
    - The LR frames and the flow of a clip have one size, the HR frames s times that.
      The scale s is that of the pipeline, else 4.

    When it is interrupted (Ctrl-C), it gives what it has found by then.

    Args:
        configs (Iterable[dict]): Configs of :class:`VSRDBDataset`; a file that several
            of them have is read once.
        num_processes (int): Number of processes that read.

    Returns:
        Report: All that is wrong.

    Raises:
        ValueError: If a config has an argument out of range.
        BrokenProcessPool: If a process is killed.
    """
    report = Report()
    clips: list[Clip] = []
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


def list_clips(config: dict) -> tuple[list[Clip], list[Fault]]:
    """List the files of a set, and all that is missing.

    Args:
        config (dict): Config of a :class:`VSRDBDataset`.

    Returns:
        tuple[list[Clip], list[Fault]]: What is there and what is wrong.
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
        return [], [Fault(path, f'There are no clips in {path}.')]
    clips, faults = [], []
    for name, length in lengths.items():
        files, found = _list_clip(dataset, name, length)
        clips.append(Clip(dataset.clip_folder('img', name), scale, files))
        faults += found
    return clips, faults


def _list_clip(
    dataset: VSRDBDataset, clip: str, length: int | None
) -> tuple[dict[str, list[str]], list[Fault]]:
    """Paths by kind, and what is missing or misnamed."""
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
    has = f'Clip {folder} has {count} frames'
    if length not in (None, count):
        faults.append(Fault(folder, f'{has}, but {dataset.ann_file} says {length}.'))
    if not dataset.windows(count):
        least = dataset.num_input_frames
        faults.append(Fault(folder, f'{has}, fewer than the {least} of a window.'))
    if 'flow' in dataset.data_prefix and len(everything) == count:
        files['flow'], found = _list_flow(dataset, clip, sorted(everything))
        faults += found
    return files, faults


def _list_frames(
    dataset: VSRDBDataset, kind: str, clip: str
) -> tuple[set[str], list[Fault]]:
    """Stems of the frames of a clip, and those that are misnamed."""
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
    """Frames that are missing between the smallest and the largest number."""
    if len(numbers) == 2:  # The folder is empty or missing, which is known.
        return
    for before, after in pairwise(sorted(numbers)):
        missing = after - before - 1
        if missing:
            path = dataset.frame_path(
                kind, clip, f'{before + 1:0{dataset.FRAME_DIGITS}d}'
            )
            more = f', of {missing} in a row' if missing > 1 else ''
            yield Fault(path, f'Frame {path} is missing{more}.')


def _list_flow(
    dataset: VSRDBDataset, clip: str, stems: list[str]
) -> tuple[list[str], list[Fault]]:
    """Flow files of a clip, and those that are missing."""
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
            f'None of the {len(needed)} flow files of clip {clip} is in {folder}. Make '
            f'them with {dataset.flow_command()}'
        )
        return there, [Fault(folder, problem)]
    return there, [Fault(path, f'Flow file {path} is missing.') for path in missing]


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
    """Leave Ctrl-C to the process that waits, and the cores to the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)


def _measure(path: str, kind: str) -> Size | str:
    """The (H, W) of a frame or a flow, or what is wrong with it."""
    try:
        if kind == 'flow':
            return load_flow(path).shape[:2]
        return LoadFrames(kind)({f'{kind}_path': path})[kind].shape[:2]
    except (OSError, ValueError) as error:
        return str(error)


def _compare_sizes(clip: Clip, sizes: dict[str, Size]) -> Iterator[Fault]:
    """Files of a clip that differ from the size of most of its LR frames."""
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
                    f'frames in {clip.folder} have {(height, width)}.',
                )
