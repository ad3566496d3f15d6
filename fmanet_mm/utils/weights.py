"""Checks and names of weights from files of other projects."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor


def check_weights(weights: object, source: str) -> None:
    """Raise unless this is a state dict of ordinary tensors.

    Args:
        weights (object): Content of a file.
        source (str): Name of the source, for the message.

    Raises:
        ValueError: If it is not a dict of dense real tensors by name.
    """
    if not isinstance(weights, dict):
        raise ValueError(
            f'{source} must be a dict of weights by name, got a '
            f'{type(weights).__name__}'
        )
    for name, value in weights.items():
        if not isinstance(name, str) or not _is_ordinary(value):
            found = type(value).__name__
            if isinstance(value, Tensor):
                found = f'{value.dtype}, {value.layout}, on device {value.device}'
            raise ValueError(
                f'{source} must hold dense real tensors by name, but under {name!r} it '
                f'has {found}'
            )


def rename_weight(name: str, rules: Mapping[str, str]) -> str:
    """Apply rules of regular expressions and replacements to a name, in order."""
    for pattern, replacement in rules.items():
        name = re.sub(pattern, replacement, name)
    return name


def _is_ordinary(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_complex() or value.is_quantized or value.is_meta)
    )
