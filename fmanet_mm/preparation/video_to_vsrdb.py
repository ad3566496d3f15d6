"""Building a VSRDB set from video of a high frame rate."""

import json
import os
import re
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from ..utils.annotation import write_annotation
from ..utils.clips import list_entries
from ..utils.degradation import average_frames, bicubic_downsample, crop_to_multiple
from ..utils.files import atomic_write
from ..video.reader import open_frames
from ..video.scenes import mark_scene_cuts
from .png import write_png

INFO_FILE = 'vsrdb_info.json'
"""File in the set that records how it was made.

It prevents mixing runs of different settings.
"""

SPLITS = ('train', 'val')

MIN_LR_SIZE = 16
"""Smallest side of LR frames; smaller ones do not suffice for flow and patches."""

_UNFINISHED = '.unfinished'


class Source(NamedTuple):
    """A video file or a folder of frames, read once.

    Attributes:
        name (str): Prefix of the names of its clips.
        num_bytes (int): Size on disk, which reveals changes.
        num_frames (int): Number of frames.
        height (int): H of its frames.
        width (int): W of its frames.
        scene_cuts (list[int]): First frames of new shots.
    """

    name: str
    num_bytes: int
    num_frames: int
    height: int
    width: int
    scene_cuts: list[int]

    def shots(self) -> list[tuple[int, int]]:
        """First frame and end of every shot."""
        return list(pairwise((0, *self.scene_cuts, self.num_frames)))


class Clip(NamedTuple):
    """A clip of the set.

    Attributes:
        name (str): ``'<source>_<number>'``.
        split (str): ``'train'`` or ``'val'``.
        start (int): Its first frame in the source.
        num_frames (int): Number of frames in the set.
    """

    name: str
    split: str
    start: int
    num_frames: int


@dataclass(frozen=True)
class VSRDBRecipe:
    """Recipe that turns frames of a source into frames of the set.

    From 240 to 30 frames per second: ``VSRDBRecipe(sub_frames=7, stride=8)``, an
    exposure of 7/8 of the frame time.

    Args:
        sub_frames (int): Number of source frames N averaged to a blurry frame, odd;
            the middle one is the sharp frame.
        stride (int, optional): Source frames from one frame of the set to the next. By
            default N, an exposure of the full frame time.
        linear_light (bool): See :func:`average_frames`.
        scale (int): Ratio of HR to LR size, s. Frames are cropped at the centre to
            multiples of it.
        downscale (int): Ratio by which source frames are downsampled (bicubic) first;
            yields sharp HR frames from compressed or noisy video.
        clip_length (int): Longer parts are cut into clips of this many frames.
        min_clip_length (int): Shorter remainders are dropped.
        held_out (float): Fraction of each source, its last part, that goes to the split
            ``val``; if not 0, at least one clip.

    Raises:
        ValueError: If a value is out of range.
    """

    sub_frames: int
    stride: int | None = None
    linear_light: bool = False
    scale: int = 4
    downscale: int = 1
    clip_length: int = 100
    min_clip_length: int = 3
    held_out: float = 0.0

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, 'stride', self.sub_frames)
        self.check_sub_frames()
        for name in ('stride', 'scale', 'downscale', 'min_clip_length'):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f'{name} must be at least 1, got {value}')
        if self.clip_length < self.min_clip_length:
            raise ValueError(
                'clip_length must be at least min_clip_length, got '
                f'{self.clip_length} and {self.min_clip_length}'
            )
        if not 0 <= self.held_out < 1:
            raise ValueError(f'held_out must be in [0, 1), got {self.held_out}')

    def check_sub_frames(self) -> None:
        """Raise a ValueError unless blurry frames can be made of the sub-frames."""
        if self.sub_frames < 3 or self.sub_frames % 2 == 0:
            raise ValueError(
                'sub_frames must be odd, so that there is a middle frame, and at least '
                f'3, got {self.sub_frames}'
            )

    def span(self, num_frames: int) -> int:
        """Number of source frames used for ``num_frames`` frames of one clip."""
        return (num_frames - 1) * self.stride + self.sub_frames

    def plan(self, source: Source) -> list[Clip]:
        """Cut a source into clips.

        No clip spans a scene cut, and no two share a source frame.

        Args:
            source (Source): Source to cut.

        Returns:
            list[Clip]: Clips in the order of their frames, those of ``val`` last.

        Raises:
            ValueError: If a split would get no clip of the source.
        """
        border = source.num_frames
        if self.held_out:
            fraction = round(source.num_frames * self.held_out)
            border -= max(fraction, self.span(self.min_clip_length))
        parts = dict(train=(0, border))
        if self.held_out:
            parts['val'] = (border, source.num_frames)

        pieces = []
        for split, (start, stop) in parts.items():
            shots = [(max(a, start), min(b, stop)) for a, b in source.shots()]
            cut = [piece for shot in shots for piece in self._cut(*shot)]
            if not cut:
                longest = max(0, *(b - a for a, b in shots))
                raise ValueError(
                    f'{source.name} is too short: of its {source.num_frames} frames in '
                    f'{len(shots)} shots, {split} gets at most {longest} in a row; the '
                    f'shortest clip ({self.min_clip_length} frames of '
                    f'{self.sub_frames} sub-frames, stride {self.stride}) takes '
                    f'{self.span(self.min_clip_length)}; remove it, or use fewer '
                    'sub-frames, a smaller stride or another held_out'
                )
            pieces += [(split, *piece) for piece in cut]
        digits = max(3, len(str(len(pieces) - 1)))
        return [
            Clip(f'{source.name}_{number:0{digits}d}', *piece)
            for number, piece in enumerate(pieces)
        ]

    def folders(self, clip: Clip) -> tuple[str, ...]:
        """Folders of a clip, in the order in which :meth:`apply` gives its frames.

        Here: sharp HR, blurry LR, sharp LR frames.
        """
        return (
            f'{clip.split}_sharp/{clip.name}',
            f'{clip.split}_blur_bicubic/X{self.scale}/{clip.name}',
            f'{clip.split}_sharp_bicubic/X{self.scale}/{clip.name}',
        )

    def apply(self, frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, ...]]:
        """Make the frames of a clip; at most N source frames are kept in memory.

        Args:
            frames (Iterable[np.ndarray]): The clip's source frames, uint8 RGB of shape
                (H, W, 3).

        Yields:
            tuple[np.ndarray]: Sharp HR, blurry LR and sharp LR frame, uint8 RGB.
        """
        window = deque(maxlen=self.sub_frames)
        for number, frame in enumerate(frames, start=1):
            frame = crop_to_multiple(frame, self.downscale * self.scale)
            window.append(bicubic_downsample(frame, self.downscale))
            if number < self.sub_frames or (number - self.sub_frames) % self.stride:
                continue
            sharp = window[self.sub_frames // 2]
            blurry = average_frames(window, self.linear_light)
            yield (
                sharp,
                bicubic_downsample(blurry, self.scale),
                bicubic_downsample(sharp, self.scale),
            )

    def _cut(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield the first source frame and the number of frames of every clip."""
        while stop - start >= self.span(self.min_clip_length):
            possible = (stop - start - self.sub_frames) // self.stride + 1
            num_frames = min(possible, self.clip_length)
            yield start, num_frames
            start += max(self.span(num_frames), num_frames * self.stride)


def convert_videos(
    sources: Sequence[str | os.PathLike], out: str | os.PathLike, recipe: VSRDBRecipe
) -> list[Clip]:
    """Make a VSRDB set in the layout of REDS from videos of a high frame rate.

    Every source is read completely first, so that a damaged one is refused before
    anything is written, and to find scene cuts, which no clip spans. ``out`` then
    gets, for both splits, ``<split>_sharp/<clip>``,
    ``<split>_blur_bicubic/X<s>/<clip>`` and ``<split>_sharp_bicubic/X<s>/<clip>`` with
    frames ``00000000.png`` ..., and last ``<split>.txt`` with lines
    ``<clip> <number of frames>``. An interrupted run, started again, resumes with the
    first unfinished clip.

    Args:
        sources (Sequence[str | PathLike]): Video files and folders of frames.
        out (str | PathLike): Folder of the set, new or from an earlier, equal call.
        recipe (VSRDBRecipe): The recipe.

    Returns:
        list[Clip]: All clips of the set, by name.

    Raises:
        FileNotFoundError: If a source does not exist.
        ValueError: If a source is not a video, is empty, damaged, too short or too
            small, has frames of unequal size or the name of another one, or if ``out``
            holds something else.
    """
    out = Path(out)
    paths = _name_sources([Path(source) for source in sources])
    known = _read_info(out, paths, recipe)
    scanned = known or [_scan(name, path) for name, path in paths.items()]
    for source in scanned:
        _check_size(source, paths[source.name], recipe)
    clips = {source.name: recipe.plan(source) for source in scanned}
    if not known:
        info = dict(asdict(recipe), sources=[source._asdict() for source in scanned])
        with atomic_write(out / INFO_FILE) as draft:
            draft.write_text(json.dumps(info, indent=2) + '\n')

    every_clip = sorted(clip for part in clips.values() for clip in part)
    progress = tqdm(
        desc='Frames', total=sum(clip.num_frames for clip in every_clip), unit='frame'
    )
    try:
        for name, part in clips.items():
            _convert_source(paths[name], part, out, recipe, progress)
    finally:
        progress.close()
        shutil.rmtree(out / _UNFINISHED, ignore_errors=True)
    for split in SPLITS:
        lengths = {c.name: c.num_frames for c in every_clip if c.split == split}
        if lengths:
            write_annotation(out / f'{split}.txt', lengths)
    return every_clip


def _name_sources(sources: list[Path]) -> dict[str, Path]:
    """Give every source a name that is safe for folders."""
    if not sources:
        raise ValueError('sources must name at least one video or folder of frames')
    paths = {}
    for path in sources:
        if not path.exists():
            raise FileNotFoundError(
                f'there is no video or folder of frames {path}; check the path'
            )
        full = path.resolve()
        name = full.name if full.is_dir() else full.stem
        name = re.sub(r'[^\w-]+', '_', name).strip('_')
        if name in paths:
            raise ValueError(
                f'{paths[name]} and {path} would both give clips named {name}_000 ...; '
                'rename one of them'
            )
        paths[name] = path
    return paths


def _read_info(
    out: Path, paths: dict[str, Path], recipe: VSRDBRecipe
) -> list[Source] | None:
    """Read what an earlier run recorded about the sources.

    Raises:
        ValueError: If ``out`` holds another set, or something else.
    """
    if not out.exists():
        return None
    if not out.is_dir() or (list_entries(out) and not (out / INFO_FILE).is_file()):
        raise ValueError(
            f'{out} holds something else than a set made by this tool; choose another '
            'or a new folder'
        )
    if not (out / INFO_FILE).is_file():
        return None
    info = json.loads((out / INFO_FILE).read_text())
    known = [Source(**source) for source in info.pop('sources')]
    then = {**info, 'sources': {source.name: source.num_bytes for source in known}}
    sizes = {name: _num_bytes(path) for name, path in paths.items()}
    now = {**asdict(recipe), 'sources': sizes}
    differences = [
        f'{key} = {then.get(key)}, now {now.get(key)}'
        for key in now | then
        if then.get(key) != now.get(key)
    ]
    if differences:
        raise ValueError(
            f'{out} holds a set made with {"; ".join(differences)} (sources by their '
            'size in bytes); choose another folder, or delete this one'
        )
    return known


def _scan(name: str, path: Path) -> Source:
    """Read a source to its end, which fails if it is damaged."""
    with open_frames(path) as reader:
        frames = tqdm(
            reader.timed(),
            desc=f'Checking {name}',
            total=reader.num_frames,
            unit='frame',
        )
        is_cut = [begins for _, begins in mark_scene_cuts(frames)]
        height, width = reader.height, reader.width
    cuts = np.flatnonzero(is_cut).tolist()
    return Source(name, _num_bytes(path), len(is_cut), height, width, cuts)


def _num_bytes(path: Path) -> int:
    files = list_entries(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _check_size(source: Source, path: Path, recipe: VSRDBRecipe) -> None:
    needed = MIN_LR_SIZE * recipe.scale * recipe.downscale
    if min(source.height, source.width) < needed:
        raise ValueError(
            f'{path} has frames of (H, W) = {(source.height, source.width)}; with '
            f'scale {recipe.scale} and downscale {recipe.downscale}, both sides must '
            f'be at least {needed}, so that those of LR frames are {MIN_LR_SIZE}'
        )


def _convert_source(
    path: Path, clips: list[Clip], out: Path, recipe: VSRDBRecipe, progress: tqdm
) -> None:
    """Write the unfinished clips of a source."""
    pending = []
    for clip in clips:
        if all((out / folder).is_dir() for folder in recipe.folders(clip)):
            progress.update(clip.num_frames)
        else:
            pending.append(clip)
    if not pending:
        return
    position = 0
    with open_frames(path) as reader:
        frames = iter(reader)
        for clip in pending:
            deque(islice(frames, clip.start - position), maxlen=0)
            span = recipe.span(clip.num_frames)
            position = clip.start + span
            _write_clip(clip, islice(frames, span), out, recipe, progress)


def _write_clip(
    clip: Clip,
    frames: Iterable[np.ndarray],
    out: Path,
    recipe: VSRDBRecipe,
    progress: tqdm,
) -> None:
    """Write a clip to a temporary folder, then move it to its place."""
    unfinished = out / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    folders = recipe.folders(clip)
    for folder in folders:
        (unfinished / folder).mkdir(parents=True)
    written = 0
    for images in recipe.apply(frames):
        for folder, image in zip(folders, images, strict=True):
            write_png(unfinished / folder / f'{written:08d}.png', image)
        written += 1
        progress.update()
    if written != clip.num_frames:
        raise ValueError(
            f'the source of {clip.name} ended early: {written} frames could be made '
            f'instead of {clip.num_frames}; it has changed, so re-create the set'
        )
    for folder in folders:
        shutil.rmtree(out / folder, ignore_errors=True)
        (out / folder).parent.mkdir(parents=True, exist_ok=True)
        os.replace(unfinished / folder, out / folder)
