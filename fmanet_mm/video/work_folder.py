"""The folder next to an output in which the output is built."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..utils.files import publish

DRAFT = 'draft'
"""Name of a file in a work folder that is not complete yet."""
_SETTINGS = 'job.json'


def work_folder_path(target: Path) -> Path:
    """Path of the folder that keeps an interrupted run's frames."""
    return target.with_name(f'.{target.name}.partial')


def holds_work(folder: Path) -> bool:
    """Whether a work folder holds more than its settings."""
    files = (path for path in folder.rglob('*') if path.is_file())
    return any(path.name not in (_SETTINGS, DRAFT) for path in files)


class WorkFolder:
    """Holds an output until it is complete.

    A folder that is kept has a stable name and records in ``job.json`` the settings of
    its run, so that an interrupted run, even one that SIGKILL or a power cut ended, can
    be resumed. Its other files are complete: they enter by :meth:`write` or
    :meth:`publish`.

    Args:
        target (Path): The output.
        keep (bool): Whether another run may resume it.
        settings (Mapping[str, Any], optional): Settings that both runs must share;
            anything that ``json`` or ``str`` can write.

    Attributes:
        path (Path): The folder.
        keep (bool): As given.
    """

    def __init__(
        self, target: Path, keep: bool, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.path = work_folder_path(
            target if keep else target.with_name(f'{target.name}.{os.getpid()}')
        )
        self.keep = keep
        self._settings = json.loads(json.dumps(settings or {}, default=str))

    def open(self, resume: bool, count_frames: Callable[[], int]) -> None:
        """Create the folder, or resume with the one that exists.

        Args:
            resume (bool): Whether to resume.
            count_frames (Callable[[], int]): Returns how many frames the folder holds.

        Raises:
            ValueError: If it holds frames and ``resume`` is False, or they were made
                with other settings.
            OSError: If it cannot be written.
        """
        kept = self._read_settings() if self.keep else None
        num_frames = 0 if kept is None else count_frames()
        if num_frames == 0:
            self.discard()
            self.path.mkdir(parents=True)
            self.write(_SETTINGS, json.dumps(self._settings, indent=2).encode())
        elif not resume:
            raise ValueError(
                f'{self.path} holds {num_frames} frames of an interrupted run; resume '
                'it (--resume, or Resume(enabled=True)), or remove the folder to start '
                'over'
            )
        else:
            self._check_settings(kept)

    def write(self, name: str, data: bytes) -> None:
        """Write a file that is complete whenever it exists."""
        draft = self.path / DRAFT
        draft.write_bytes(data)
        self.publish(draft, name)

    def publish(self, draft: Path, name: str) -> None:
        """Rename a complete file to its name in the folder."""
        publish(draft, self.path / name, durable=self.keep)

    def deliver(self, result: Path, target: Path) -> None:
        """Rename the result to the output, then remove the folder."""
        if target.is_dir():
            target.rmdir()  # Windows replaces no folder, not even an empty one.
        publish(result, target, durable=True)
        self.discard()

    def discard(self) -> None:
        """Delete the folder, settings first, so that no partial one is resumed."""
        (self.path / _SETTINGS).unlink(missing_ok=True)
        shutil.rmtree(self.path, ignore_errors=True)

    def _read_settings(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.path / _SETTINGS).read_bytes())
        except FileNotFoundError:
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
