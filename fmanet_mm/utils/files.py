"""Files that are there after a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Let what is written to a file, or renamed in a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
