"""The only reader of checkpoints: nothing in a file is executed."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .files import atomic_write


class _LogHistory:
    """Placeholder for MMEngine's ``HistoryBuffer``, the log of a training.

    Unpickling a ``HistoryBuffer`` replaces methods of its class by those named in the
    file, which would affect every other log of the process.
    """


def _numpy_globals() -> list[tuple[object, str]]:
    """Functions that arrays and scalars are pickled with, by NumPy 1 and 2."""
    functions = {
        '_reconstruct': np.empty(0).__reduce__()[0],
        'scalar': np.float64(0).__reduce__()[0],
    }
    return [
        (function, f'{module}.{name}')
        for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
        for name, function in functions.items()
    ]


_MMENGINE_GLOBALS = [
    (_LogHistory, f'{HistoryBuffer.__module__}.{HistoryBuffer.__qualname__}'),
    *_numpy_globals(),
    np.ndarray,
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    # The log names the functions that evaluate it, which are not needed.
    (lambda *_: None, 'builtins.getattr'),
]
"""Contents of MMEngine's checkpoints besides tensors and plain Python values."""


def load_checkpoint_file(
    path: str | PathLike, map_location: str | torch.device = 'cpu', trust: bool = False
) -> dict:
    """Read a checkpoint; nothing in it is executed.

    Args:
        path (str | PathLike): A ``.pth`` or ``.pt`` file, or a safetensors file, which
            is recognised by its suffix or its content.
        map_location (str | torch.device): Device to load to.
        trust (bool): Let the file execute what it contains.

    Returns:
        dict: The checkpoint; weights of a safetensors file under ``state_dict``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or holds more than weights without trust.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}; check the path')
    if _is_safetensors(path):
        return dict(state_dict=_load_safetensors_file(path, str(map_location)))
    try:
        with torch.serialization.safe_globals(_MMENGINE_GLOBALS):
            checkpoint = torch.load(path, map_location, weights_only=not trust)
    except Exception as error:  # Damaged pickles raise any exception.
        raise ValueError(
            f'{path} is not a checkpoint that can be read safely; it is damaged or '
            f'holds other objects than weights ({error})'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not weights')
    return checkpoint


def load_state_dict_file(
    path: str | PathLike, map_location: str | torch.device = 'cpu'
) -> dict[str, Tensor]:
    """Read the weights of a checkpoint; see :func:`load_checkpoint_file`.

    Args:
        path (str | PathLike): A checkpoint, a bare state dict, or a safetensors file.
        map_location (str | torch.device): Device to load to.

    Returns:
        dict[str, Tensor]: Its ``state_dict``.
    """
    checkpoint = load_checkpoint_file(path, map_location)
    return checkpoint.get('state_dict', checkpoint)


def _is_safetensors(path: str | PathLike) -> bool:
    """Whether a file is, or claims to be, a safetensors file."""
    if Path(path).suffix == '.safetensors':
        return True
    with open(path, 'rb') as file:
        length, brace = file.read(8), file.read(1)
    # The length of the header, which is JSON, comes first.
    return brace == b'{' and int.from_bytes(length, 'little') < 2**32


def _load_safetensors_file(path: str | PathLike, device: str) -> dict[str, Tensor]:
    try:
        return load_file(path, device)
    except SafetensorError as error:
        raise ValueError(
            f'{path} is not a safetensors file, or damaged ({error})'
        ) from error


def save_checkpoint_file(checkpoint: dict, path: str | PathLike) -> None:
    """Write a checkpoint that is complete whenever it exists.

    Args:
        checkpoint (dict): Tensors and plain values.
        path (str | PathLike): File to write; its folder is created if missing.
    """
    with atomic_write(path) as draft:
        torch.save(checkpoint, draft)


def describe_misfit(
    needed: Mapping[str, Tensor], given: Mapping[str, Tensor], count: int = 3
) -> str:
    """Describe how weights differ from those that a model needs.

    Args:
        needed (Mapping[str, Tensor]): The model's state dict.
        given (Mapping[str, Tensor]): Weights to load.
        count (int): Names of each kind to list.

    Returns:
        str: Missing, unknown and misshapen names; empty if the weights fit.
    """
    kinds = {
        'missing': [name for name in needed if name not in given],
        'not known to the model': [name for name in given if name not in needed],
        'of another shape': [
            f'{name} {tuple(given[name].shape)} instead of {tuple(value.shape)}'
            for name, value in needed.items()
            if name in given and given[name].shape != value.shape
        ],
    }
    return '; '.join(
        f'{len(names)} {kind} ({", ".join(names[:count])}'
        f'{", ..." if len(names) > count else ""})'
        for kind, names in kinds.items()
        if names
    )
