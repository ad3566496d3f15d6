"""Devices and processes that a command runs on.

Several processes may be started by ``--device cuda:0,cuda:1``, or by launchers, which
start the same command several times and number its processes::

    torchrun --nproc-per-node 8 -m fmanet_mm.cli.restore_video clip.mp4 ...
    srun -n 16 fmanet-restore clip.mp4 ...
"""

from collections.abc import Mapping
from typing import NamedTuple


class Rank(NamedTuple):
    """One of several processes that a launcher has started with the same command.

    Attributes:
        index (int): Its number, from 0.
        count (int): Number of processes.
        local (int): Its number among those on this computer, from 0.
        run (str): Name of the run, the same for all its processes.
    """

    index: int
    count: int
    local: int
    run: str


def find_rank(environ: Mapping[str, str]) -> Rank | None:
    """Find what torchrun or srun has started, by the environment variables they set.

    A batch script of Slurm is no process of ``srun``, although it has SLURM_PROCID.

    Args:
        environ (Mapping[str, str]): Environment variables.

    Returns:
        Rank | None: None for a single process.

    Raises:
        ValueError: If a variable is no number, or the rank not below the number of
            processes.
    """
    if 'RANK' in environ and 'WORLD_SIZE' in environ:
        names = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')
        identity = ('TORCHELASTIC_RUN_ID', 'MASTER_ADDR', 'MASTER_PORT')
    elif 'SLURM_PROCID' in environ and 'SLURM_STEP_ID' in environ:
        tasks = 'SLURM_STEP_NUM_TASKS'
        tasks = tasks if tasks in environ else 'SLURM_NTASKS'
        names = ('SLURM_PROCID', tasks, 'SLURM_LOCALID')
        identity = ('SLURM_JOB_ID', 'SLURM_STEP_ID')
    else:
        return None
    index, count, local = (_read_number(environ, name) for name in names)
    if index >= count:
        raise ValueError(
            f'{names[0]} is {index} and {names[1]} is {count}; a rank must be below '
            'the number of processes, so start the command by its launcher'
        )
    if count == 1:
        return None
    return Rank(index, count, local, ':'.join(environ.get(x, '') for x in identity))


def find_devices(names: str | None) -> list[str | None]:
    """Read ``--device``.

    Args:
        names (str, optional): A device, several with commas in between, or ``all``.

    Returns:
        list[str | None]: The devices; None for the default.

    Raises:
        ValueError: If a name is empty, or ``all`` finds no GPU.
    """
    if names is None:
        return [None]
    if names == 'all':
        devices = _all_gpus()
        if not devices:
            raise ValueError('there is no GPU for --device all; use the device cpu')
        return list(devices)
    devices = [name.strip() for name in names.split(',')]
    if '' in devices:
        raise ValueError(
            f'--device {names} has an empty name; write several devices as '
            'cuda:0,cuda:1'
        )
    return list(devices)


def device_of_rank(names: str | None, rank: Rank) -> str | None:
    """The device of a process, by its number on its computer.

    Args:
        names (str, optional): See :func:`find_devices`; by default all GPUs.
        rank (Rank): The process.

    Returns:
        str | None: A device; None for the default, where there is no GPU.

    Raises:
        ValueError: See :func:`find_devices`.
    """
    devices = (_all_gpus() or [None]) if names is None else find_devices(names)
    return devices[rank.local % len(devices)]


def _all_gpus() -> list[str]:
    import torch

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return []
    return [
        f'{accelerator.type}:{index}'
        for index in range(torch.accelerator.device_count())
    ]


def _read_number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, '0')
    if not text.isdecimal():
        raise ValueError(
            f'the environment variable {name} is {text!r}, expected a number; start '
            'the command by its launcher, or unset the variable'
        )
    return int(text)
