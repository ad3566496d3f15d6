"""Reading weights without running code."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


class _LogHistory:
    """Stands for MMEngine's ``HistoryBuffer``, the log of a training.

    When that is unpickled it puts what the file says into its class, so that every
    other log of the process would be computed by it.
    """


# What MMEngine's checkpoints hold besides tensors and plain Python values.
_MMENGINE_GLOBALS = [
    (_LogHistory, f'{HistoryBuffer.__module__}.{HistoryBuffer.__qualname__}'),
    np.ndarray,
    np.dtype,
    np.core.multiarray._reconstruct,
    np.core.multiarray.scalar,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
    # The log comes with the functions that evaluate it; they are not needed.
    (lambda *_: None, 'builtins.getattr'),
]


def load_checkpoint_file(path: str | PathLike, map_location: str = 'cpu') -> dict:
    """Read a checkpoint; nothing in it is executed.

    Args:
        path (str | PathLike): A ``.pth`` or ``.pt`` file.
        map_location (str): Device to load to.

    Returns:
        dict: The checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or holds more than weights.
    """
    _check_exists(path)
    try:
        with torch.serialization.safe_globals(_MMENGINE_GLOBALS):
            checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # Damaged pickles end in any of them.
        raise ValueError(
            f'{path} is not a checkpoint that can be read safely; it is damaged or '
            f'holds other objects than weights ({error})'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{path} holds a {type(checkpoint).__name__}, not weights')
    return checkpoint


def load_state_dict_file(
    path: str | PathLike, map_location: str = 'cpu'
) -> dict[str, Tensor]:
    """Read the weights of a checkpoint; see :func:`load_checkpoint_file`.

    Args:
        path (str | PathLike): A checkpoint, a bare state dict, or a
            ``.safetensors`` file.
        map_location (str): Device to load to.

    Returns:
        dict[str, Tensor]: Its ``state_dict``.
    """
    if Path(path).suffix == '.safetensors':
        return _load_safetensors_file(path, map_location)
    checkpoint = load_checkpoint_file(path, map_location)
    return checkpoint.get('state_dict', checkpoint)


def _load_safetensors_file(path: str | PathLike, device: str) -> dict[str, Tensor]:
    _check_exists(path)
    try:
        return load_file(path, device)
    except SafetensorError as error:
        raise ValueError(
            f'{path} is not a safetensors file, or damaged ({error})'
        ) from error


def _check_exists(path: str | PathLike) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no checkpoint {path}; check the path')


def save_checkpoint_file(checkpoint: dict, path: str | PathLike) -> None:
    """Write a checkpoint so that ``path`` is whole whenever it exists.

    Args:
        checkpoint (dict): Tensors and plain values.
        path (str | PathLike): File to write; its folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + '.partial')
    try:
        torch.save(checkpoint, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def describe_misfit(
    needed: Mapping[str, Tensor], given: Mapping[str, Tensor], count: int = 3
) -> str:
    """Say how weights differ from those that a model needs.

    Args:
        needed (Mapping[str, Tensor]): The model's state dict.
        given (Mapping[str, Tensor]): Weights to be loaded.
        count (int): How many names of each kind to list.

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
