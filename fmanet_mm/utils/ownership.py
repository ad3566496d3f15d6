"""A lock file that names the process that holds it."""

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Not on Windows.
    fcntl = None

_CLOCK_TOLERANCE = 5.0
"""Seconds by which a process's start may differ, since clocks are set."""

_PATIENCE = 0.3
"""Seconds to wait for a lock file that is being written."""


class InUseError(ValueError):
    """Another process holds a lock.

    Attributes:
        run (str | None): Name of its run, if it is one of several processes.
    """

    def __init__(self, message: str, run: str | None = None) -> None:
        super().__init__(message)
        self.run = run


class OwnerLock:
    """A file that only one process can hold, and that a dead process does not hold.

    It names the process, its start, and the computer. On the same computer a lock of a
    process that has ended is taken over. What runs elsewhere cannot be seen from here,
    so a lock of another computer always counts.

    Args:
        path (Path): The lock file.
        what (str | PathLike): What it is for, to name it in messages.
        run (str, optional): Name of the run that this process and others belong to,
            which an :class:`InUseError` in them has.
    """

    def __init__(
        self, path: Path, what: str | os.PathLike, run: str | None = None
    ) -> None:
        self.path = path
        self._what = what
        self._run = run
        self._own = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            InUseError: If another process holds it.
            FileNotFoundError: If its folder is missing.
        """
        while True:
            try:
                self._create()
                return
            except FileExistsError:
                self.check()
                self._remove_stale()

    def check(self) -> None:
        """Raise an InUseError if another process holds the lock."""
        owner = self._read()
        if owner is None or not _may_run(owner):
            return
        where, remedy = '', 'wait for it or end it'
        if owner['host'] != socket.gethostname():
            where = f' on {owner["host"]}'
            remedy = (
                f'if it does not run any more, remove {self.path}, then start again'
            )
        raise InUseError(
            f'{self._what} is being written by another run, process {owner["pid"]}'
            f'{where}; {remedy}',
            owner['run'],
        )

    @property
    def is_held(self) -> bool:
        """Whether this object holds the lock."""
        return self._own is not None

    def release(self) -> None:
        """Remove the lock, if this object holds it."""
        if self._own is not None and self._read() == self._own:
            self.path.unlink(missing_ok=True)
        self._own = None

    def _create(self) -> None:
        descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        try:
            self._own = _this_process() | dict(run=self._run)
            os.write(descriptor, json.dumps(self._own).encode())
        finally:
            os.close(descriptor)

    def _read(self) -> dict[str, Any] | None:
        """Return the owner; None if there is no lock, or a damaged one."""
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return _parse_owner(self.path.read_bytes())
            except FileNotFoundError:
                return None
            except ValueError:
                if time.monotonic() > until:
                    return None
                time.sleep(0.05)

    def _remove_stale(self) -> None:
        """Remove the lock if its process has ended."""
        with _one_at_a_time(self.path.with_name(f'{self.path.name}.guard')):
            owner = self._read()
            if owner is None or not _may_run(owner):
                self.path.unlink(missing_ok=True)


@contextmanager
def _one_at_a_time(path: Path) -> Iterator[None]:
    """Let one process after the other run the block, where the system can."""
    with open(path, 'ab') as file:
        if fcntl is not None:
            with suppress(OSError):  # Some network file systems have no such locks.
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _this_process() -> dict[str, Any]:
    return dict(
        pid=os.getpid(),
        host=socket.gethostname(),
        started=_start_of(os.getpid()),
        life=_life_of(os.getpid()),
        key=secrets.token_hex(8),
    )


def _parse_owner(data: bytes) -> dict[str, Any]:
    owner = json.loads(data)
    if not isinstance(owner, dict) or not isinstance(owner.get('pid'), int):
        raise ValueError('no owner')
    return dict(dict(host=None, started=None, life=None, run=None), **owner)


def _may_run(owner: dict[str, Any]) -> bool:
    if owner['host'] != socket.gethostname():
        return True
    started, life = _start_of(owner['pid']), _life_of(owner['pid'])
    if started is None:
        return False
    if None not in (life, owner['life']):
        return life == owner['life']
    if not isinstance(owner['started'], int | float):
        return True
    # Not true of processes whose start may not be seen, which is NaN.
    is_another = abs(started - owner['started']) > _CLOCK_TOLERANCE
    return not is_another


def _life_of(pid: int) -> str | None:
    """A name for the life of a process that no change of the clock alters, on Linux.

    It consists of the boot of the system, and the ticks from then to its start.
    """
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
        # The name of the program, in parentheses, may hold anything.
        values = Path(f'/proc/{pid}/stat').read_bytes().rpartition(b')')[2].split()
        return f'{boot} {int(values[19])}'
    except (OSError, ValueError, IndexError):
        return None


def _start_of(pid: int) -> float | None:
    """When a process began, in seconds since the epoch; None if it does not run."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time()
    except psutil.AccessDenied:
        return float('nan')
    except (psutil.Error, ValueError, OverflowError):
        return None
