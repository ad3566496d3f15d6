"""The folder next to an output in which the output is built."""

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from ..utils.files import publish, sync
from ..utils.names import fit_name
from ..utils.ownership import InUseError, OwnerLock
from .spans import Part

DRAFT = 'draft'
"""Name of a file in a work folder that is not complete yet."""

SETTINGS = 'job.json'
"""Name of the file with the settings of the run."""

RECORD = 'run.json'
"""Name of the file that proves that a folder is a work folder of this package."""

LOCK = 'owner.json'
"""Name of the file with the process that writes the output.

Each of several processes has one with its number at the end, such as ``owner.json.2``;
they hold the file without a number only while they begin or complete the output.
"""

PARTS = 'parts.json'
"""Name of the file with the name of the run whose processes write parts."""

END = 'end.json'
"""Name of the file with what a process that writes a part knows of the clip's end."""

_PAUSE = 0.02
"""Seconds between two looks whether another process of the run is done."""

_PROGRAM = 'fmanet_mm'


def work_folder_path(target: Path) -> Path:
    """Path of the folder that keeps an interrupted run's frames."""
    return target.with_name(fit_name(f'.{target.name}.partial', target.parent))


def kept_output(target: Path) -> Path | None:
    """What an interrupted run of this package has kept of an output.

    Args:
        target (Path): The output.

    Returns:
        Path | None: The file that can be played, or else the work folder if it holds
        frames; None if there is neither.
    """
    if target.is_symlink():
        target = target.resolve()
    folder = work_folder_path(target)
    record = _read_record(folder)
    if record is None:
        return None
    return _playable(record, target) or (folder if holds_work(folder) else None)


def holds_work(folder: Path) -> bool:
    """Whether a work folder holds more than its records."""
    files = (path for path in folder.rglob('*') if path.is_file())
    records = (SETTINGS, RECORD, PARTS, END)
    return any(
        path.name not in records and not path.name.startswith(LOCK) and path.suffix
        for path in files
    )


class WorkFolder:
    """Holds an output until it is complete.

    A folder that is kept has a stable name and records in ``job.json`` the settings of
    its run, so that an interrupted run, even one that SIGKILL or a power cut ended, can
    be resumed. Its other files are complete: they enter by :meth:`write` or
    :meth:`publish`.

    Only what this package has made is ever replaced or removed. A folder belongs to it
    if it holds ``run.json``, which names the copy for players, too. While a run writes
    to the folder, ``owner.json`` keeps others away; the processes of one run that write
    parts of the output share the folder.

    Args:
        target (Path): The output.
        keep (bool): Whether another run may resume it.
        settings (Mapping[str, Any], optional): Settings that both runs must share;
            anything that ``json`` or ``str`` can write.
        part (Part, optional): The part that this process writes, if there are several.

    Attributes:
        path (Path): The folder.
        keep (bool): As given; True if there is a part.
        draft (Path): Place for a file of this process that is not complete yet.
    """

    def __init__(
        self,
        target: Path,
        keep: bool,
        settings: Mapping[str, Any] | None = None,
        part: Part | None = None,
    ) -> None:
        keep = keep or part is not None
        self.keep = keep
        self.path = work_folder_path(target)
        if not keep:
            self.path = self.path.with_name(f'.{secrets.token_hex(8)}.partial')
        self._target = target
        self._part = part
        self._run = None if part is None else part.run
        self._lock = self._gate = OwnerLock(self.path / LOCK, target, self._run)
        self.draft = self.path / DRAFT
        if part is not None:
            own = self.path / f'{LOCK}.{part.index}'
            self._lock = OwnerLock(own, target, self._run)
            self.draft = self.path / f'{DRAFT}-{part.index}'
        self._settings = json.loads(json.dumps(settings or {}, default=str))

    def check(self, resume: bool, count_frames: Callable[[], int]) -> None:
        """Raise what :meth:`open` would raise now, except for other settings."""
        if self.keep and self._is_own():
            self._check_owners(self._run)
            if not self._is_of_run():
                self._count_frames(resume, count_frames)

    def open(self, resume: bool, count_frames: Callable[[], int]) -> None:
        """Create the folder, or resume with the one that exists.

        Args:
            resume (bool): Whether to resume.
            count_frames (Callable[[], int]): Returns how many frames the folder holds.

        Raises:
            InUseError: If another run writes the same output.
            ValueError: If the folder holds frames and ``resume`` is False, or they were
                made with other settings; or if it is not of this package.
            OSError: If it cannot be written.
        """
        _make_folder(self._target.parent)
        if not self.keep:
            self.path.mkdir()
            return
        self._claim()
        try:
            self._check_owners(self._run)
            if self._is_of_run() or self._count_frames(resume, count_frames):
                self._check_settings(self._read_json(SETTINGS))
            else:
                self._begin()
            if self._part is not None:
                self.write(PARTS, json.dumps(dict(run=self._run)).encode())
                self._lock.acquire()
        except BaseException:
            self._gate.release()
            raise
        if self._part is not None:
            self._gate.release()

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keep the other processes of the run away while the block runs.

        Yields:
            bool: Whether the folder is still there; another process may have delivered
            the output.
        """
        try:
            # A process of another run goes away when it finds the lock of the part.
            self._acquire_gate(is_patient=True)
        except FileNotFoundError:
            yield False
            return
        try:
            yield True
        finally:
            self._gate.release()

    def leave(self) -> bool:
        """Give up the part; return whether no other process writes one.

        To be called within :meth:`alone`.
        """
        self._lock.release()
        try:
            self._check_owners(None)
        except InUseError:
            return False
        return True

    def note_end(self, end: Mapping[str, Any]) -> None:
        """Leave what is known of the clip's end to the process that completes it."""
        self.write(END, json.dumps(end).encode())

    def read_end(self) -> dict[str, Any] | None:
        """What :meth:`note_end` has left; None if no process has seen the end yet."""
        return self._read_json(END)

    @property
    def has_parts(self) -> bool:
        """Whether several processes have written parts, so that there may be gaps."""
        return (self.path / PARTS).exists()

    def write(self, name: str, data: bytes) -> None:
        """Write a file that is complete whenever it exists."""
        self.draft.write_bytes(data)
        self.publish(self.draft, name)

    def publish(self, draft: Path, name: str) -> None:
        """Rename a complete file to its name in the folder."""
        publish(draft, self.path / name, durable=self.keep)

    def publish_playable(self, draft: Path) -> Path:
        """Rename a complete file to a name next to the output, for players.

        It replaces the one before. A name that is taken by another file is left alone:
        the copy then gets a number.

        Returns:
            Path: Its name.
        """
        record = _read_record(self.path) or self._new_record()
        place = _playable(record, self._target) or self._reserve_playable(record)
        publish(draft, place)
        self._note_playable(record, place)
        return place

    def deliver(self, result: Path, target: Path) -> None:
        """Rename the result to the output, then remove the folder."""
        if result.is_dir() and target.is_dir():
            target.rmdir()  # Windows replaces no folder, not even an empty one.
        publish(result, target, durable=True)
        self.discard()

    def discard(self) -> None:
        """Remove the folder, and the copy for players."""
        if self.keep:
            record = _read_record(self.path)
            if record is None:
                return
            playable = _playable(record, self._target)
            if playable is not None:
                playable.unlink(missing_ok=True)
        # Under its name it must never be incomplete.
        doomed = self.path.with_name(f'.{secrets.token_hex(8)}.partial')
        try:
            os.rename(self.path, doomed)
        except OSError:
            doomed = self.path  # On Windows, if a file in it is open.
        shutil.rmtree(doomed, ignore_errors=True)

    def release(self) -> None:
        """Leave the folder to other runs."""
        if self.keep:
            self._lock.release()

    def _is_own(self) -> bool:
        """Whether the folder exists.

        Raises:
            ValueError: If it is not of this package.
        """
        if not os.path.lexists(self.path):
            return False
        if _read_record(self.path) is None:
            raise ValueError(
                f'{self.path} is not a work folder of this program, and is in the way '
                f'of one for {self._target}; rename or remove it, or choose another '
                'output'
            )
        return True

    def _claim(self) -> None:
        """Create the folder with the lock, or take its lock."""
        while True:
            if not self._is_own():
                self._create()
            try:
                self._acquire_gate()
                return
            except FileNotFoundError:
                continue  # The run that held it has just removed the folder.

    def _acquire_gate(self, is_patient: bool = False) -> None:
        """Take the lock of the folder, once no other process of the run has it.

        Args:
            is_patient (bool): Whether to wait for processes of other runs, too.
        """
        while True:
            try:
                self._gate.acquire()
                return
            except InUseError as error:
                is_sibling = error.run is not None and error.run == self._run
                if not (is_sibling or is_patient):
                    raise
            time.sleep(_PAUSE)

    def _check_owners(self, run: str | None) -> None:
        """Raise an InUseError if a process of another run than ``run`` is at work."""
        for path in self.path.glob(f'{LOCK}*'):
            if path.suffix == '.guard' or self._gate.is_held and path.name == LOCK:
                continue
            try:
                OwnerLock(path, self._target).check()
            except InUseError as error:
                if error.run is None or error.run != run:
                    raise

    def _is_of_run(self) -> bool:
        """Whether another process of this run has begun the output."""
        return self._run is not None and self._read_json(PARTS) == dict(run=self._run)

    def _create(self) -> None:
        """Create the folder with its record, unless another run is faster."""
        draft = self.path.with_name(f'.{secrets.token_hex(8)}.partial')
        draft.mkdir()
        try:
            record = draft / RECORD
            record.write_text(json.dumps(self._new_record()))
            sync(record)
            os.rename(draft, self.path)
        except OSError:
            if not self._is_own():
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _begin(self) -> None:
        """Empty the folder, and write the settings of this run."""
        for path in self.path.iterdir():
            if path.name != RECORD and not path.name.startswith(LOCK):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.write(SETTINGS, json.dumps(self._settings, indent=2).encode())

    def _count_frames(self, resume: bool, count_frames: Callable[[], int]) -> int:
        """Return the number of frames to resume with, 0 to start over."""
        num_frames = 0 if self._read_json(SETTINGS) is None else count_frames()
        if num_frames and not resume:
            raise ValueError(
                f'{self.path} holds {num_frames} frames of an interrupted run; resume '
                'it (--resume, or Resume(enabled=True)), or remove the folder to start '
                'over'
            )
        return num_frames

    def _read_json(self, name: str) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def _check_settings(self, kept: dict[str, Any]) -> None:
        changes = [
            f'{name} was {kept.get(name)!r} and is {self._settings.get(name)!r}'
            for name in sorted(kept.keys() | self._settings.keys())
            if kept.get(name) != self._settings.get(name)
        ]
        if changes:
            raise ValueError(
                f'cannot resume {self.path}: {", ".join(changes)}; use the same '
                'settings as before, or remove the folder to start over'
            )

    def _new_record(self) -> dict[str, Any]:
        return dict(program=_PROGRAM, run=secrets.token_hex(8), playable=None)

    def _reserve_playable(self, record: dict[str, Any]) -> Path:
        """Create an empty file under a free name."""
        stem, suffix = self._target.stem, self._target.suffix
        for number in count(1):
            ending = f'.partial{f"-{number}" if number > 1 else ""}{suffix}'
            reserve = len(os.fsencode(ending))
            place = self._target.with_name(
                fit_name(stem, self._target.parent, reserve) + ending
            )
            with suppress(FileExistsError):
                place.open('xb').close()
                self._note_playable(record, place)
                return place

    def _note_playable(self, record: dict[str, Any], place: Path) -> None:
        record['playable'] = _identify(place)
        self.write(RECORD, json.dumps(record).encode())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)
        ) from error


def _read_record(folder: Path) -> dict[str, Any] | None:
    """Return the record of a work folder; None if it is not one."""
    try:
        record = (
            None if folder.is_symlink() else json.loads((folder / RECORD).read_bytes())
        )
    except (OSError, ValueError):
        return None
    is_own = isinstance(record, dict) and record.get('program') == _PROGRAM
    return record if is_own else None


def _playable(record: dict[str, Any], target: Path) -> Path | None:
    """The recorded copy for players, if it is still the file that was written."""
    noted = record.get('playable')
    try:
        place = target.with_name(noted['name'])
        return place if _identify(place) == noted else None
    except (KeyError, OSError, TypeError, ValueError):
        return None


def _identify(path: Path) -> dict[str, Any]:
    status = os.lstat(path)
    return dict(name=path.name, num_bytes=status.st_size, time=status.st_mtime_ns)
