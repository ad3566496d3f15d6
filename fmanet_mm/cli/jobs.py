"""Outputs by input."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..utils.names import fit_name, place_key
from ..video.formats import VIDEO_SUFFIXES
from ..video.spans import Part
from ..video.work_folder import kept_output

SUBSTITUTES = {'.m4v': '.mp4', '.3gp': '.mov', '.3g2': '.mov'}
"""Containers that are written instead of those that cannot be, by suffix.

They hold the streams that are usual there. Any other becomes Matroska.
"""


class Job(NamedTuple):
    """One video to restore.

    Attributes:
        src (Path): A video file or a folder of images.
        dst (Path): The output.
        page (Path | None): HTML page that compares the two, if one is wanted.
        to_folder (bool): Whether the output is a folder of images whatever its name.
    """

    src: Path
    dst: Path
    page: Path | None
    to_folder: bool = False

    @property
    def target(self) -> str:
        """The output as :func:`~fmanet_mm.video.writer.open_writer` takes it."""
        return os.path.join(self.dst, '') if self.to_folder else str(self.dst)

    def is_done(self) -> bool:
        """Whether the output exists, and no interrupted run would replace it."""
        if self.kept() is not None:
            return False
        if os.path.isdir(self.dst):
            return any(self.dst.iterdir())
        return os.path.exists(self.dst)

    def kept(self) -> Path | None:
        """What an interrupted run has left, if anything."""
        with suppress(OSError, ValueError):
            return kept_output(self.dst)
        return None

    def describe_kept(self) -> list[str]:
        """Messages on what an interrupted run has left; none if it has left nothing."""
        kept = self.kept()
        if kept is None:
            return []
        return [f'the finished part is kept as {kept}, --resume continues']


class Task(NamedTuple):
    """A job, or the part of it that one of several processes does.

    Attributes:
        job (Job): The job.
        part (Part | None): The part; None for all.
    """

    job: Job
    part: Part | None = None

    @property
    def index(self) -> int:
        """Number of the part."""
        return 0 if self.part is None else self.part.index


def plan_jobs(
    inputs: Iterable[Path], out: str | None, compare: bool | str = False
) -> list[Job]:
    """Name the output of each input.

    Args:
        inputs (Iterable[Path]): Video files and folders of images.
        out (str, optional): The output, with a slash at its end a folder of images; for
            several inputs a folder for an output of the same name for each. By default
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
    is_single = len(inputs) == 1
    if out is not None and not is_single:
        _check_folder(out)
    if isinstance(compare, str) and not is_single:
        raise ValueError(
            f'--compare {compare} is one page for several inputs; leave the name out '
            'to write a page next to each output'
        )
    jobs = []
    for src in inputs:
        to_folder = False
        if out is None:
            src_named = _with_name(src)
            dst = src_named.with_name(_output_name(src, src_named, '_restored'))
        elif is_single:
            dst, to_folder = Path(out), out.endswith((os.sep, '/'))
        else:
            dst = Path(out, _output_name(src, _with_name(src)))
        page = _page(dst, compare)
        if page in [job.page for job in jobs if page is not None]:
            page = page.with_name(f'{dst.name}_compare.html')
        jobs.append(Job(src, dst, page, to_folder))
    _check_no_conflict(jobs)
    return jobs


def _check_folder(out: str) -> None:
    if os.path.isfile(out) or Path(out).suffix.lower() in VIDEO_SUFFIXES:
        raise ValueError(
            f'--out {out} must be a folder for several inputs; an output for each is '
            'written to it'
        )


def _with_name(src: Path) -> Path:
    """Name an input that is given as ``.`` or ``..``. Links keep their names."""
    if src.name not in ('', os.pardir):
        return src
    return src.resolve()


def _output_name(src: Path, named: Path, ending: str = '') -> str:
    """Name of the output, of the same kind as the input."""
    if os.path.isdir(src):
        # A suffix would make it a file.
        return fit_name(named.name.replace('.', '_') + ending, named.parent)
    suffix = src.suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        suffix = SUBSTITUTES.get(suffix, '.mkv')
    return fit_name(named.stem + ending + suffix, named.parent)


def _page(dst: Path, compare: bool | str) -> Path | None:
    if isinstance(compare, str):
        return Path(compare)
    if not compare:
        return None
    return dst.with_name(fit_name(f'{dst.stem}_compare.html', dst.parent))


def _check_no_conflict(jobs: list[Job]) -> None:
    sources = {place_key(job.src) for job in jobs}
    taken = {}
    for job in jobs:
        place = place_key(job.dst)
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
        if job.page is not None and os.path.isdir(job.page):
            raise ValueError(f'--compare {job.page} is a folder; name another page')
        if job.page is not None and place_key(job.page) in {*sources, place}:
            raise ValueError(
                f'--compare {job.page} is an input or an output; name another page'
            )
