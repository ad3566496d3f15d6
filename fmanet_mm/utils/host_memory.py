"""How much memory of the computer this process may still take."""

from collections.abc import Iterator
from pathlib import Path

import psutil

try:
    import resource
except ImportError:  # Not on Windows.
    resource = None

_V1_FILES = ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
_V2_FILES = ('memory.max', 'memory.current', 'inactive_file')
"""Files of a control group with its limit and usage, and the entry of ``memory.stat``
with the part of the usage that is given up when memory is short."""

_NO_LIMIT = 2**60
"""Version 1 writes about 2**63 where there is no limit."""


def free_host_bytes() -> int:
    """Return the least of what the system, its control groups and ``ulimit`` leave."""
    available = psutil.virtual_memory().available
    return max(0, min([available, *free_in_control_groups(), *_free_address_space()]))


def free_in_control_groups(root: Path = Path('/')) -> Iterator[int]:
    """Give what each control group of this process leaves of its limit, in bytes.

    A container is such a group, and so are the services and jobs of many systems. Each
    is limited by all groups above it, too.

    Args:
        root (Path): Where ``proc`` and ``sys`` are.
    """
    for folder, files in _control_groups(root):
        free = _read_free(folder, *files)
        if free is not None:
            yield free


def _control_groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    mount = root / 'sys/fs/cgroup'
    try:
        lines = (root / 'proc/self/cgroup').read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(':')
        controllers, _, group = rest.partition(':')
        if not controllers:
            place, files = mount, _V2_FILES
        elif 'memory' in controllers.split(','):
            place, files = mount / 'memory', _V1_FILES
        else:
            continue
        # Within a container the path is often that outside, and its group the mount.
        inner = Path(group.lstrip('/'))
        for part in (inner, *inner.parents):
            yield place / part, files


def _read_free(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    try:
        most = int((folder / limit).read_text())
        used = int((folder / usage).read_text())
    except (OSError, ValueError):  # No such group, or "max".
        return None
    if most >= _NO_LIMIT:
        return None
    return most - used + _read_entry(folder / 'memory.stat', reclaimable)


def _read_entry(file: Path, name: str) -> int:
    try:
        entries = dict(line.split() for line in file.read_text().splitlines())
        return int(entries[name])
    except (KeyError, OSError, ValueError):
        return 0


def _free_address_space() -> Iterator[int]:
    """Give what ``ulimit -v`` leaves, if it is set."""
    if resource is None:
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms
