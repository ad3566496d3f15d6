"""The only reader of checkpoints: nothing in a file is executed."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from .files import atomic_write
from .weights import check_weights

_LOGGER = logging.getLogger('fmanet_mm')
_USUAL_PREFIXES = ('', 'state_dict.')


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
    path: str | PathLike,
    map_location: str | torch.device = 'cpu',
    needed: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    """Read the weights of a checkpoint; see :func:`load_checkpoint_file`.

    Args:
        path (str | PathLike): A checkpoint, a bare state dict, or a safetensors file.
        map_location (str | torch.device): Device to load to.
        needed (Iterable[str], optional): Names of the model's weights; see
            :func:`select_weights`. By default the names in the file stay as they are.

    Returns:
        dict[str, Tensor]: Its ``state_dict``.
    """
    checkpoint = load_checkpoint_file(path, map_location)
    if needed is not None:
        return select_weights(checkpoint, needed, path)
    return checkpoint.get('state_dict', checkpoint)


def load_released_weights(
    path: str | PathLike, key: str, owner: str
) -> dict[str, Tensor]:
    """Read the weights of a file that another project has released.

    Args:
        path (str | PathLike): The file; see :func:`load_checkpoint_file`.
        key (str): Where the file has its weights.
        owner (str): Whose file it is, such as ``"the authors'"``.

    Returns:
        dict[str, Tensor]: The weights, by the names of the other project.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is another file, or does not hold ordinary tensors.
    """
    checkpoint = load_checkpoint_file(path)
    if key not in checkpoint:
        raise ValueError(
            f'{path} has no {key!r}, so it is not {owner} file; it has '
            f'{sorted(map(str, checkpoint))[:5]}'
        )
    check_weights(checkpoint[key], f'{key!r} in {path}')
    return checkpoint[key]


def select_weights(
    checkpoint: Mapping, needed: Iterable[str], path: str | PathLike
) -> dict[str, Tensor]:
    """Find the weights of a model in a checkpoint, whatever they are wrapped in.

    Training programs put them into nested dicts (``params``, ``model.state_dict``) and
    prepend the names of wrappers (``module.``, ``generator.``). Both are prefixes of
    the weights' names. Of several complete sets, an average of the training
    (``params_ema``, ``generator_ema``) is preferred. What is chosen is logged.

    Args:
        checkpoint (Mapping): Content of a file.
        needed (Iterable[str]): Names of the model's weights.
        path (str | PathLike): The file, to name it in the log.

    Returns:
        dict[str, Tensor]: The weights under the prefix that fits best, without it; all
        weights of the checkpoint if nothing fits.
    """
    weights = dict(_flatten(checkpoint))
    needed = list(needed)
    prefixes = _find_prefixes(weights, needed)
    if not prefixes:
        usual = checkpoint.get('state_dict', checkpoint)
        is_nested = any(isinstance(value, Mapping) for value in usual.values())
        return weights if is_nested else usual
    best = max(prefixes, key=lambda prefix: _rank(prefix, weights, needed))
    others = tuple(prefix for prefix in prefixes if len(prefix) > len(best))
    _log_choice(path, best, prefixes - {best})
    return {
        name.removeprefix(best): value
        for name, value in weights.items()
        if name.startswith(best) and not name.startswith(others)
    }


def _log_choice(path: str | PathLike, chosen: str, others: set[str]) -> None:
    if chosen in _USUAL_PREFIXES and not others:
        return
    rest = ', '.join(repr(prefix.removesuffix('.')) for prefix in sorted(others))
    _LOGGER.warning(
        '%s: took the weights %s%s',
        path,
        f'under {chosen.removesuffix(".")!r}' if chosen else 'without a prefix',
        f', not those under {rest}' if others else '',
    )


def _flatten(values: Mapping, prefix: str = '') -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of nested dicts."""
    for name, value in values.items():
        if isinstance(name, str) and isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(name, str) and isinstance(value, Mapping):
            yield from _flatten(value, f'{prefix}{name}.')


def _find_prefixes(weights: Iterable[str], needed: list[str]) -> set[str]:
    """What the names of weights begin with, before those that a model needs."""
    ends = tuple(needed[:1])
    found = {
        name.removesuffix(end) for name in weights for end in ends if name.endswith(end)
    }
    return {prefix for prefix in found if not prefix or prefix.endswith('.')}


def _rank(
    prefix: str, weights: Mapping[str, Tensor], needed: list[str]
) -> tuple[int, bool, bool, int]:
    parts = prefix.split('.')
    return (
        sum(prefix + name in weights for name in needed),
        any(part.endswith('ema') for part in parts),
        # MMEngine keeps the weights that are not averaged under this name.
        'ema_state_dict' not in parts,
        -len(prefix),
    )


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
