"""Restoring a clip or a set by several methods, and measuring all of them alike."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..restoration import ClipRestorer, RestoreOptions, VideoRestorer
from ..restoration.loading import find_device
from ..utils.annotation import read_annotation
from ..utils.files import atomic_write
from ..utils.memory_meter import MemoryMeter
from ..utils.names import printable
from ..video.reader import FrameReader, ImageFolderReader, open_frames
from ..visualization.compare_page import ComparePage
from .folders import evaluate_folders, find_clips
from .hook import count_parameters
from .measures import LPIPS
from .protocol import get_protocol
from .report import Report, table_header, table_row

NETWORK_SUFFIXES = ('.safetensors', '.onnx', '.pt2')
"""Files that describe their network themselves."""


@dataclass(frozen=True)
class Method:
    """A method to compare: a network, or results that exist already.

    Attributes:
        name (str): Its name in the table.
        config (str | PathLike, optional): Config of a network, a file or a name.
        checkpoint (str | PathLike, optional): Its weights; None if it has none.
        results (str | PathLike, optional): Restored frames in place of a network.
    """

    name: str
    config: str | PathLike | None = None
    checkpoint: str | PathLike | None = None
    results: str | PathLike | None = None

    @classmethod
    def parse(cls, name: str, *sources: str) -> 'Method':
        """Read what the command is given.

        Args:
            name (str): Its name in the table.
            *sources (str): A folder or video of results; a file that describes its
                network; a config of a network without weights; or a config and a
                checkpoint.

        Raises:
            ValueError: If there is none, or more than two.
        """
        if len(sources) == 2:
            return cls(name, config=sources[0], checkpoint=sources[1])
        if len(sources) != 1:
            raise ValueError(
                f'method {name} needs a folder of results, an exported network, or a '
                f'config and its checkpoint, got {list(sources)}'
            )
        (source,) = sources
        if source.endswith(NETWORK_SUFFIXES):
            return cls(name, checkpoint=source)
        path = Path(source.partition('{clip}')[0])
        if path.exists() and path.suffix != '.py':
            return cls(name, results=source)
        return cls(name, config=source)

    @property
    def folder_name(self) -> str:
        """A name for its results that file systems take."""
        return re.sub(r'[^\w.+-]+', '_', printable(self.name)).strip('._') or 'method'

    def locate_results(self, out: Path) -> str | PathLike:
        """Where its restored frames are or will be, in a comparison's folder."""
        return self.results or out / 'results' / self.folder_name


@dataclass
class Cost:
    """What a network takes; None where it is not known.

    Attributes:
        parameters (int, optional): Parameters that inference uses.
        seconds (float, optional): Per frame, without reading and writing files.
        memory_bytes (int, optional): Most memory of tensors at once while it restores,
            weights not counted.
    """

    parameters: int | None = None
    seconds: float | None = None
    memory_bytes: int | None = None

    def cells(self) -> list[str]:
        """Its cells of a table, see :data:`COST_COLUMNS`."""
        parts = (
            (self.parameters, 1e6, 2),
            (self.seconds, 1, 3),
            (self.memory_bytes, 2**30, 2),
        )
        return [
            '-' if value is None else f'{value / unit:.{digits}f}'
            for value, unit, digits in parts
        ]


COST_COLUMNS = ('parameters (M)', 's/frame', 'memory (GiB)')
"""Of a :class:`Cost`."""


@dataclass
class Comparison:
    """The figures of all methods, by name.

    Attributes:
        costs (dict[str, Cost]): What each takes.
        reports (dict[str, Report]): What it measures; empty without ground truth.
        notes (list[str]): What a reader of the table must know.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    reports: dict[str, Report] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """One row for each method, in Markdown, and the notes."""
        measures = next((report.measures for report in self.reports.values()), ())
        lines = [table_header('method', *COST_COLUMNS, *measures)]
        for name, cost in self.costs.items():
            quality = self.reports[name].cells() if name in self.reports else []
            lines.append(table_row(printable(name), *cost.cells(), *quality))
        return '\n'.join([*lines, '', *(f'- {note}' for note in self.notes)]) + '\n'

    def save(self, folder: str | PathLike) -> list[Path]:
        """Write ``comparison.md``, and ``comparison.json`` with every frame's values.

        Args:
            folder (str | PathLike): Folder of the files; created if missing.

        Returns:
            list[Path]: The files.
        """
        values = dict(
            methods={
                printable(name): asdict(cost)
                | (self.reports[name].to_dict() if name in self.reports else {})
                for name, cost in self.costs.items()
            },
            notes=self.notes,
        )
        texts = dict(md=self.table(), json=json.dumps(values, indent=1) + '\n')
        paths = []
        for suffix, text in texts.items():
            path = Path(folder, f'comparison.{suffix}')
            with atomic_write(path) as draft:
                draft.write_text(text, encoding='utf-8')
            paths.append(path)
        return paths


def compare_methods(
    methods: Sequence[Method],
    inputs: str | PathLike,
    out: str | PathLike,
    targets: str | PathLike | None = None,
    *,
    protocol: str = 'published',
    measures: Sequence[str] | None = None,
    ann_file: str | PathLike | None = None,
    device: str | None = None,
    dtype: str = 'fp32',
    detect_scenes: bool = False,
) -> Comparison:
    """Restore, measure and show clips by several methods.

    Written to ``out``: ``results/<method>``, the frames that networks restored; the
    files of :meth:`Comparison.save`; and a page for each clip with the pictures of all
    methods, ``compare.html`` or ``compare_<clip>.html``.

    Args:
        methods (Sequence[Method]): The methods, in the order of the table.
        inputs (str | PathLike): Blurry frames: a video, a folder of images, or a folder
            of these; see :func:`evaluate_folders`.
        out (str | PathLike): Folder to write to.
        targets (str | PathLike, optional): The ground truth, likewise. Without it only
            costs are compared.
        protocol (str): See :func:`evaluate_folders`.
        measures (Sequence[str], optional): By default those of the protocol, and LPIPS
            if its weights are there.
        ann_file (str | PathLike, optional): File with the clips to take.
        device (str, optional): By default a GPU if there is one.
        dtype (str): ``'fp32'``, ``'bf16'`` or ``'fp16'``.
        detect_scenes (bool): Whether to look for scene cuts, as ``fmanet-restore``
            does; else each clip is one shot, as in ``tools/test.py``.

    Returns:
        Comparison: All figures.

    Raises:
        FileNotFoundError: If a path, a clip or weights are missing.
        ValueError: If there are no methods or two of a name, or anything does not fit.
    """
    _check_names(methods)
    out, chosen = Path(out), get_protocol(protocol)
    clips = _select_clips(inputs, ann_file)
    truths = None if targets is None else _find_side(targets, clips)
    results = {method.name: method.locate_results(out) for method in methods}
    for method in methods:
        _check_results(method, results[method.name], clips)
    notes = []
    if targets is not None:
        notes.append(chosen.describe())
        if measures is None:
            measures, missing = _default_measures(chosen.measures)
            notes += missing
    if any(method.results is None for method in methods):
        notes.append(_describe_device(find_device(device), dtype))
    comparison = Comparison(notes=notes)
    for method in methods:
        cost = Cost()
        if method.results is None:
            restorer = VideoRestorer.load(
                method.checkpoint, method.config, device=device, dtype=dtype
            )
            folder = Path(results[method.name])
            cost = _restore_clips(restorer, clips, folder, detect_scenes)
        comparison.costs[method.name] = cost
    if targets is not None:
        for name, folder in results.items():
            report = evaluate_folders(
                *(folder, targets, protocol, measures),
                motion=None,
                ann_file=ann_file,
                name=name,
                device=str(find_device(device)),
            )
            report.parameters = comparison.costs[name].parameters
            comparison.reports[name] = report
    comparison.save(out)
    _write_pages(out, clips, results, truths)
    return comparison


class StopwatchRestorer:
    """Measures how long a clip restorer computes, without waiting for its input.

    Args:
        restorer (ClipRestorer): What restores.

    Attributes:
        seconds (float): Time that it has taken.
        num_frames (int): Frames that it has restored.
    """

    def __init__(self, restorer: ClipRestorer) -> None:
        self.scale, self.context = restorer.scale, restorer.context
        self.device = restorer.device
        self.seconds, self.num_frames = 0.0, 0
        self._restorer = restorer

    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :meth:`ClipRestorer.restore`."""
        outputs = self._restorer.restore(self._untimed(frames))
        while True:
            self.seconds -= self._now()
            output = next(outputs, None)
            self.seconds += self._now()
            if output is None:
                return
            self.num_frames += 1
            yield output

    def peak_bytes(self, height: int, width: int) -> int | None:
        """See :meth:`ClipRestorer.peak_bytes`."""
        return self._restorer.peak_bytes(height, width)

    def _untimed(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        frames = iter(frames)
        while True:
            self.seconds += self._now()
            frame = next(frames, None)
            self.seconds -= self._now()
            if frame is None:
                return
            yield frame

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _check_names(methods: Sequence[Method]) -> None:
    folders = [method.folder_name.casefold() for method in methods]
    twice = sorted(
        m.name for m in methods if folders.count(m.folder_name.casefold()) > 1
    )
    if twice or not methods:
        raise ValueError(
            f'methods need different names, got {", ".join(twice)}'
            if methods
            else 'there is no method to compare; name one'
        )


def _select_clips(
    inputs: str | PathLike, ann_file: str | PathLike | None
) -> dict[str | None, Path]:
    """Paths by clip; the name of a single one is None."""
    found = find_clips(inputs)
    if isinstance(found, Path):
        return {None: found}
    if ann_file is None:
        return dict(found)
    wanted = read_annotation(ann_file)
    missing = sorted(wanted.keys() - found.keys())
    if missing:
        raise FileNotFoundError(
            f'{inputs} lacks {len(missing)} of the {len(wanted)} clips of {ann_file}, '
            f'the first is {missing[0]}'
        )
    return {clip: found[clip] for clip in wanted}


def _find_side(
    path: str | PathLike, clips: Mapping[str | None, Path]
) -> dict[str | None, Path]:
    """The paths at which results or ground truth have the clips of the inputs."""
    found = find_clips(path)
    if isinstance(found, Path) != (None in clips):
        kinds = ['one clip', 'several clips']
        here, there = kinds if isinstance(found, Path) else reversed(kinds)
        raise ValueError(
            f'{path} is {here}, but the inputs are {there}; name one clip on all '
            'sides, or the folder of the clips'
        )
    if isinstance(found, Path):
        return {None: found}
    missing = sorted(clips.keys() - found.keys())
    if missing:
        raise FileNotFoundError(
            f'{path} lacks {len(missing)} of the {len(clips)} clips, the first is '
            f'{missing[0]}; to compare only some, list them in an annotation file'
        )
    return dict(found)


def _check_results(
    method: Method, folder: str | PathLike, clips: Mapping[str | None, Path]
) -> None:
    """Raise before anything is restored."""
    if method.results is not None:
        _find_side(folder, clips)
    elif Path(folder).exists():
        raise ValueError(
            f'{folder} exists already; remove it, or name it as the results of '
            f'{method.name}'
        )


def _default_measures(names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """The protocol's, and LPIPS; or a note that its weights are missing."""
    try:
        LPIPS.check_weights()
    except FileNotFoundError as error:
        return tuple(names), [f'LPIPS is left out: {error}']
    return (*names, 'LPIPS'), []


def _restore_clips(
    restorer: VideoRestorer,
    clips: Mapping[str | None, Path],
    folder: Path,
    detect_scenes: bool,
) -> Cost:
    """Restore clips to folders of images."""
    _warm_up(restorer, next(iter(clips.values())))
    stopwatch = StopwatchRestorer(restorer.restorer)
    meter = MemoryMeter(stopwatch.device)
    for clip, path in tqdm(clips.items(), f'Restoring to {folder}', leave=False):
        VideoRestorer(stopwatch).restore_video(
            path,
            folder if clip is None else folder / clip,
            RestoreOptions(detect_scenes=detect_scenes),
        )
    network = getattr(restorer.restorer, 'network', None)
    return Cost(
        count_parameters(network) if isinstance(network, torch.nn.Module) else None,
        stopwatch.seconds / max(stopwatch.num_frames, 1),
        _most_memory(restorer.restorer, clips.values(), meter),
    )


def _most_memory(
    restorer: ClipRestorer, clips: Iterable[Path], meter: MemoryMeter
) -> int:
    """Bytes of tensors, counted on a CPU if the restorer can.

    What a process takes from the system there depends on what was in use before.
    """
    counted = []
    if restorer.device.type == 'cpu':
        for clip in clips:
            with open_frames(clip) as frames:
                counted.append(restorer.peak_bytes(frames.height, frames.width))
    if not counted or None in counted:
        return meter.growth()
    return max(counted)


def _warm_up(restorer: VideoRestorer, clip: Path) -> None:
    """Restore one frame, so that what happens once is not timed."""
    with open_frames(clip) as frames:
        for _ in restorer.restore_frames([next(iter(frames))]):
            pass


def _describe_device(device: torch.device, dtype: str) -> str:
    threads = torch.get_num_threads()
    name = f'{threads} thread{"s" if threads > 1 else ""} of the CPU'
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    return f'computed in {dtype} by {name}; memory is that of tensors without weights'


def _write_pages(
    out: Path,
    clips: Mapping[str | None, Path],
    results: Mapping[str, str | PathLike],
    truths: Mapping[str | None, Path] | None,
) -> None:
    """A page for each clip."""
    sides = {name: _find_side(folder, clips) for name, folder in results.items()}
    for clip, path in clips.items():
        _write_page(
            out / ('compare.html' if clip is None else f'compare_{clip}.html'),
            path,
            {name: side[clip] for name, side in sides.items()},
            None if truths is None else truths[clip],
        )


def _write_page(
    path: Path, clip: Path, methods: Mapping[str, Path], target: Path | None
) -> None:
    """All frames that all methods have."""
    page = ComparePage(f'{clip.name} by {len(methods)} methods')
    with ExitStack() as stack:
        source, *others = (
            stack.enter_context(open_frames(file))
            for file in (clip, *methods.values(), *([target] if target else []))
        )
        sides = [_in_step(other, source) for other in others]
        for image, *images in zip(source, *sides, strict=False):
            if any(picture is None for picture in images):
                continue
            truth = images.pop() if target else None
            page.add(image, dict(zip(methods, images, strict=True)), truth)
    page.write(path)


def _in_step(frames: FrameReader, source: FrameReader) -> Iterator[np.ndarray | None]:
    """A frame for each of the source, None where there is none of its name."""
    if not all(isinstance(reader, ImageFolderReader) for reader in (frames, source)):
        yield from frames
        return
    images, given = iter(frames), set(frames.info.stems)
    for stem in source.info.stems:
        yield next(images) if stem in given else None
