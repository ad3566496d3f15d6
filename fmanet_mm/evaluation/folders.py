"""Measuring results in files, from any method."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..utils.annotation import read_annotation
from ..utils.clips import list_entries
from ..video.formats import IMAGE_SUFFIXES
from ..video.reader import FrameReader, ImageFolderReader, open_frames
from .clip import ClipMeasurement
from .measures import MOTION_ESTIMATOR, Measures
from .protocol import Protocol, get_protocol
from .report import Report

NamedPair = tuple[str, np.ndarray, np.ndarray]


def evaluate_folders(
    results: str | os.PathLike,
    targets: str | os.PathLike,
    protocol: str = 'published',
    measures: Sequence[str] | None = None,
    motion: dict | None = MOTION_ESTIMATOR,
    ann_file: str | os.PathLike | None = None,
    name: str | None = None,
    lpips_net: str = 'alex',
    device: str = 'cpu',
) -> Report:
    """Measure results against the ground truth, as :class:`VSRDBMetric` does.

    Each side is a video file, a folder of images, or a folder with one of these for
    each clip, with the same names on both sides. Frames of folders are matched by name,
    so the results may lack those that the protocol ignores; frames of videos are
    matched by order.

    Args:
        results (str | PathLike): The restored frames. ``{clip}`` is a placeholder for
            the clip where the frames are in a folder inside it,
            ``'test/{clip}/sharp'``.
        targets (str | PathLike): The ground truth, likewise.
        protocol (str): See :class:`VSRDBMetric`.
        measures (Sequence[str], optional): See :class:`VSRDBMetric`.
        motion (dict, optional): See :class:`VSRDBMetric`.
        ann_file (str | PathLike, optional): File with the clips to measure; see
            :func:`fmanet_mm.utils.annotation.read_annotation`. Numbers of frames in it
            must match the folders of targets. By default all clips, which must then be
            the same on both sides.
        name (str, optional): Name of the method; by default that of the folder.
        lpips_net (str): See :class:`LPIPS`.
        device (str): Device of LPIPS and of the flow estimator.

    Returns:
        Report: All measured values.

    Raises:
        FileNotFoundError: If a path, a clip or weights are missing.
        ValueError: If clips, frames or sizes do not fit, a file cannot be read, or an
            argument is out of range.
    """
    chosen = get_protocol(protocol)
    names = tuple(measures or chosen.measures)
    tools = Measures(names, chosen.border, motion, lpips_net, device)
    lengths = None if ann_file is None else read_annotation(ann_file)
    pairs = _match_clips(results, targets, lengths, ann_file)
    for clip, paths in pairs.items():
        _check_clip(*paths, chosen, lengths and lengths[clip])
    frames = {
        clip: _measure_clip(clip, *paths, chosen, tools)
        for clip, paths in pairs.items()
    }
    return Report(
        name=name or Path(str(results).partition('{clip}')[0]).resolve().stem,
        protocol=chosen,
        measures=names,
        frames=frames,
        motion=motion['type'] if motion else None,
    )


def _match_clips(
    results: str | os.PathLike,
    targets: str | os.PathLike,
    lengths: dict[str, int | None] | None,
    ann_file: str | os.PathLike | None,
) -> dict[str, tuple[Path, Path]]:
    """Paths of result and target by clip."""
    found, true = find_clips(results), find_clips(targets)
    if isinstance(found, Path) and isinstance(true, Path):
        return {true.stem: (found, true)}
    for path, clips, other in ((results, found, targets), (targets, true, results)):
        if isinstance(clips, Path):
            raise ValueError(
                f'{path} is one clip, but {other} holds several; name the folder of '
                'the clips on both sides, or one clip on both'
            )
    wanted = true if lengths is None else lengths
    source = ann_file or targets
    for path, clips in ((results, found), (targets, true)):
        missing = sorted(wanted.keys() - clips.keys())
        if missing:
            raise FileNotFoundError(
                f'{path} lacks {len(missing)} of the {len(wanted)} clips of {source}: '
                f'{_shorten(missing)}; to measure only some clips, list them in an '
                'annotation file'
            )
    extra = sorted(found.keys() - true.keys())
    if lengths is None and extra:
        raise ValueError(
            f'{results} has {len(extra)} clips that {targets} lacks: '
            f'{_shorten(extra)}; to measure only the others, list them in an '
            'annotation file'
        )
    return {clip: (found[clip], true[clip]) for clip in wanted}


def find_clips(path: str | os.PathLike) -> dict[str, Path] | Path:
    """Find the clips in a folder, or recognise a single one.

    Args:
        path (str | PathLike): See :func:`evaluate_folders`.

    Returns:
        dict[str, Path] | Path: Paths of the clips by name, or the path itself if it is
        one clip.

    Raises:
        FileNotFoundError: If there is no such path, or no clip in it.
        ValueError: If two clips have one name.
    """
    outside, _, inside = str(path).partition('{clip}')
    root = Path(outside)
    if not root.exists():
        raise FileNotFoundError(f'there is no video file or folder {root}')
    if root.is_file():
        return root
    entries = list_entries(root)
    if not inside and any(entry.suffix.lower() in IMAGE_SUFFIXES for entry in entries):
        return root
    clips = {}
    for entry in entries:
        clip = entry.name if entry.is_dir() else entry.stem
        if inside and entry.is_file():
            continue
        if clip in clips:
            raise ValueError(
                f'{clips[clip]} and {entry} are both named {clip}; remove one of them'
            )
        clips[clip] = Path(f'{entry}{inside}')
    if not clips:
        raise FileNotFoundError(f'there are no clips in {root}')
    return clips


def _check_clip(
    result: Path, target: Path, protocol: Protocol, length: int | None
) -> None:
    """Raise before anything is measured if the sides do not fit each other."""
    with open_frames(result) as outputs, open_frames(target) as truths:
        size, true_size = (
            (reader.height, reader.width) for reader in (outputs, truths)
        )
        if size != true_size:
            raise ValueError(
                f'{result} has frames of (H, W) = {size}, but those of {target} have '
                f'{true_size}; both must have one size'
            )
        if isinstance(truths, ImageFolderReader):
            if length not in (None, truths.num_frames):
                raise ValueError(
                    f'{target} has {truths.num_frames} frames, but the annotation file '
                    f'says {length}'
                )
            if isinstance(outputs, ImageFolderReader):
                _check_frame_names(outputs, truths, protocol)


def _check_frame_names(
    outputs: ImageFolderReader, truths: ImageFolderReader, protocol: Protocol
) -> None:
    wanted, given = set(protocol.select(truths.info.stems)), set(outputs.info.stems)
    for stems, problem in (
        (wanted - given, 'lacks'),
        (given - set(truths.info.stems), 'should not have'),
    ):
        if stems:
            raise ValueError(
                f'{outputs.path} {problem} {len(stems)} frames: '
                f'{_shorten(sorted(stems))}; it has {len(given)}, {truths.path} has '
                f'{len(truths.info.stems)}, of which protocol {protocol.name} measures '
                f'{len(wanted)}; results must be named like the targets'
            )


def _measure_clip(
    clip: str, result: Path, target: Path, protocol: Protocol, measures: Measures
) -> dict[str, dict[str, float]]:
    """Measured values by the frame's name."""
    measured, names = ClipMeasurement(), []
    with open_frames(result) as outputs, open_frames(target) as truths:
        pairs = _pair_frames(outputs, truths, protocol)
        progress = tqdm(pairs, f'Measuring {clip}', unit='frame', leave=False)
        for place, (name, output, truth) in enumerate(progress):
            measured.add(place, output, truth, measures)
            names.append(name)
    if not names:
        raise ValueError(
            f'protocol {protocol.name} measures none of the few frames of {target}'
        )
    return {name: measured.values[place] for place, name in enumerate(names)}


def _pair_frames(
    outputs: FrameReader, truths: FrameReader, protocol: Protocol
) -> Iterator[NamedPair]:
    if isinstance(outputs, ImageFolderReader) and isinstance(truths, ImageFolderReader):
        return _pair_by_name(outputs, truths, protocol)
    return _trim_ends(_pair_by_order(outputs, truths), protocol.skipped)


def _pair_by_name(
    outputs: ImageFolderReader, truths: ImageFolderReader, protocol: Protocol
) -> Iterator[NamedPair]:
    wanted, given = set(protocol.select(truths.info.stems)), set(outputs.info.stems)
    images = iter(outputs)
    for stem, truth in zip(truths.info.stems, truths, strict=True):
        output = next(images) if stem in given else None
        if stem in wanted:
            yield stem, output, truth


def _pair_by_order(outputs: FrameReader, truths: FrameReader) -> Iterator[NamedPair]:
    counts = [0, 0]
    for number, images in enumerate(zip_longest(outputs, truths)):
        counts = [
            count + (image is not None)
            for count, image in zip(counts, images, strict=True)
        ]
        if counts[0] == counts[1]:
            yield f'{number:08d}', *images
    if counts[0] != counts[1]:
        raise ValueError(
            f'{outputs.path} has {counts[0]} frames, but {truths.path} has '
            f'{counts[1]}; frames of videos have no names, so all must be present; '
            'folders of images may lack those that the protocol ignores'
        )


def _trim_ends(pairs: Iterable[NamedPair], number: int) -> Iterator[NamedPair]:
    """Drop ``number`` pairs at each end."""
    held = deque()
    for index, pair in enumerate(pairs):
        if index >= number:
            held.append(pair)
        if len(held) > number:
            yield held.popleft()


def _shorten(names: list[str]) -> str:
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')
