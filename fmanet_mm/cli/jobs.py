"""Outputs by input."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..video.formats import VIDEO_SUFFIXES
from ..video.work_folder import holds_work, work_folder_path


class Job(NamedTuple):
    """One video to restore.

    Attributes:
        src (Path): A video file or a folder of images.
        dst (Path): The output.
        page (Path | None): HTML page that compares the two, if one is wanted.
    """

    src: Path
    dst: Path
    page: Path | None

    def is_done(self) -> bool:
        """Whether the output exists, and no interrupted run would replace it."""
        if self.dst.is_dir():
            return any(self.dst.iterdir()) and self.kept() is None
        return self.dst.exists() and self.kept() is None

    def kept(self) -> Path | None:
        """Partial output of an interrupted run, if there is any."""
        playable = self.dst.with_name(f'{self.dst.stem}.partial{self.dst.suffix}')
        if playable.is_file():
            return playable
        folder = work_folder_path(self.dst)
        return folder if holds_work(folder) else None


def plan_jobs(
    inputs: Iterable[Path], out: str | None, compare: bool | str = False
) -> list[Job]:
    """Name the output of each input.

    Args:
        inputs (Iterable[Path]): Video files and folders of images.
        out (str, optional): The output; for several inputs, or with a slash at its
            end, a folder for an output of the same name for each. By default
            ``<name>_restored`` next to the input.
        compare (bool | str): Whether to write a page for each output,
            ``<name>_compare.html`` next to it; or the name of the only one.

    Returns:
        list[Job]: One for each input.

    Raises:
        ValueError: If two outputs or an output and an input would be the same, or one
            name is given for several.
    """
    inputs = list(inputs)
    into_folder = out is not None and (len(inputs) > 1 or out.endswith(os.sep))
    if into_folder and (Path(out).is_file() or Path(out).suffix in VIDEO_SUFFIXES):
        raise ValueError(
            f'--out {out} must be a folder for several inputs; an output for each is '
            'written to it'
        )
    if isinstance(compare, str) and len(inputs) > 1:
        raise ValueError(
            f'--compare {compare} is one page for several inputs; leave the name out '
            'to write a page next to each output'
        )
    jobs = []
    for src in inputs:
        if into_folder:
            dst = Path(out, _output_name(src))
        elif out is not None:
            dst = Path(out)
        else:
            dst = src.resolve().with_name(_output_name(src, '_restored'))
            dst = Path(os.path.relpath(dst)) if not src.is_absolute() else dst
        page = dst.with_name(f'{dst.stem}_compare.html') if compare else None
        jobs.append(Job(src, dst, Path(compare) if isinstance(compare, str) else page))
    _check_no_conflict(jobs)
    return jobs


def _output_name(src: Path, ending: str = '') -> str:
    """Name of the output, of the same kind as the input.

    A container that cannot be written becomes Matroska, which holds every stream.
    """
    if src.is_dir():
        # A suffix would make it a file.
        return src.resolve().name.replace('.', '_') + ending
    suffix = src.suffix.lower()
    return src.stem + ending + (suffix if suffix in VIDEO_SUFFIXES else '.mkv')


def _check_no_conflict(jobs: list[Job]) -> None:
    sources = {job.src.resolve(): job.src for job in jobs}
    taken = {}
    for job in jobs:
        place = job.dst.resolve()
        if place in sources:
            raise ValueError(
                f'{job.dst} is an input and would be an output; name another --out'
            )
        if place in taken:
            raise ValueError(
                f'{taken[place]} and {job.src} would both become {job.dst}; restore '
                'them one after the other, with different --out'
            )
        taken[place] = job.src
