"""Files that are complete whenever they exist."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike, durable: bool = False) -> Iterator[Path]:
    """Write a file that is complete whenever it exists.

    The block writes to a draft in the same folder, which is renamed when the block
    ends and removed when it raises. The draft has the same suffix, since some libraries
    choose the format by it. Its name begins with a dot; a process that is killed leaves
    it behind.

    Args:
        path (str | PathLike): File to write. Its folder is created if missing; a file
            of that name is replaced.
        durable (bool): Whether the file must also survive a power cut.

    Yields:
        Path: The draft.

    Raises:
        OSError: If the folder cannot be created or the file not be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = path.suffix if len(path.suffix) < 16 else ''
    draft = path.with_name(f'.{secrets.token_hex(8)}.partial{suffix}')
    try:
        yield draft
        publish(draft, path, durable)
    finally:
        draft.unlink(missing_ok=True)


def publish(draft: Path, path: Path, durable: bool = False) -> None:
    """Rename a complete file, or a folder, to its final name.

    Args:
        draft (Path): File or folder, on the same file system.
        path (Path): Its final name. A file of that name is replaced.
        durable (bool): Whether it must also survive a power cut.

    Raises:
        OSError: If it cannot be renamed or synced.
    """
    if durable:
        sync(draft)
    os.replace(draft, path)
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Let a file's content, or a rename in a folder, survive a power cut.

    Some file systems, and Windows, cannot sync a folder; nothing more can be done
    there.

    Raises:
        OSError: If a file cannot be synced.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if not path.is_dir():
            raise
