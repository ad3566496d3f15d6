"""The folder beside an output in which the output is made."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..utils.files import sync

_JOB = 'job.json'
_DRAFT = 'draft'


def work_folder_path(target: Path) -> Path:
    """Where what is kept for another run to go on with is, while it is."""
    return target.with_name(f'.{target.name}.partial')


def holds_work(folder: Path) -> bool:
    """Whether there is more in a work folder than its description."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return any(path.name not in (_JOB, _DRAFT) for path in files)


class WorkFolder:
    """Holds what is written until it is complete.

    One that is kept has a stable name, and says in ``job.json`` which job it belongs
    to, so that a run that was broken off, even by SIGKILL or a power cut, can be
    gone on with. What is in it otherwise is whole: it comes in by :meth:`add`.

    Args:
        target (Path): The output.
        keep (bool): Whether another run may go on with it.
        job (Mapping[str, Any] | None): Settings that both runs must share; anything
            that ``json`` or ``str`` can write.

    Attributes:
        path (Path): The folder.
        keep (bool): As given.
    """

    def __init__(
        self, target: Path, keep: bool, job: Mapping[str, Any] | None = None
    ) -> None:
        self.path = work_folder_path(
            target if keep else target.with_name(f'{target.name}.{os.getpid()}')
        )
        self.keep = keep
        self._job = json.loads(json.dumps(job or {}, default=str))

    def open(self, resume: bool, count_frames: Callable[[], int]) -> None:
        """Make the folder, or go on with the one that is there.

        Args:
            resume (bool): Whether to go on.
            count_frames (Callable[[], int]): Tells how many frames the folder holds.

        Raises:
            ValueError: If it holds frames and ``resume`` is False, or they belong to
                another job.
            OSError: If it cannot be written.
        """
        kept = self._read_job() if self.keep else None
        num_frames = 0 if kept is None else count_frames()
        if num_frames == 0:
            self.discard()
            self.path.mkdir(parents=True)
            self.add(_JOB, json.dumps(self._job, indent=2).encode())
        elif not resume:
            raise ValueError(
                f'{self.path} holds {num_frames} frames of a run that was broken off; '
                'go on with it (--resume, or resume=True), or remove it to begin anew'
            )
        else:
            self._check_job(kept)

    def add(self, name: str, data: bytes) -> None:
        """Write a file that is never there in part."""
        draft = self.path / _DRAFT
        draft.write_bytes(data)
        self.admit(draft, name)

    def admit(self, draft: Path, name: str) -> None:
        """Give a file that was written in full its name."""
        path = self.path / name
        if self.keep:
            sync(draft)
        os.replace(draft, path)
        if self.keep:
            sync(path.parent)

    def deliver(self, result: Path, target: Path) -> None:
        """Give the result its final name, then remove the folder."""
        if result.is_file():
            sync(result)
        os.replace(result, target)
        sync(target.parent)
        self.discard()

    def discard(self) -> None:
        """Remove the folder, and first what makes it one to go on with."""
        (self.path / _JOB).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _read_job(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / _JOB).read_bytes())
        except FileNotFoundError:
            return None

    def _check_job(self, kept: dict[str, Any]) -> None:
        changes = [
            f'{name} was {kept.get(name)!r} and is {self._job.get(name)!r}'
            for name in sorted(kept.keys() | self._job.keys())
            if kept.get(name) != self._job.get(name)
        ]
        if changes:
            raise ValueError(
                f'cannot go on with {self.path}: {", ".join(changes)}; use the same '
                'settings as before, or remove it to begin anew'
            )
