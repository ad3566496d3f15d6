"""Weights that come from other projects' files."""

import torch
from torch import Tensor


def check_weights(weights: object, source: str) -> None:
    """Refuse what is no state dict of ordinary tensors.

    Args:
        weights (object): What a file held.
        source (str): Where it was, for the message.

    Raises:
        ValueError: If it is no dict of names and dense real tensors.
    """
    if not isinstance(weights, dict):
        raise ValueError(
            f'{source} must be a dict of weights by name, got a '
            f'{type(weights).__name__}.'
        )
    for name, value in weights.items():
        if not isinstance(name, str) or not _is_ordinary(value):
            found = type(value).__name__
            if isinstance(value, Tensor):
                found = f'{value.dtype}, {value.layout}, on device {value.device}'
            raise ValueError(
                f'{source} must hold dense real tensors by name, but under {name!r} it '
                f'has {found}.'
            )


def _is_ordinary(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_complex() or value.is_quantized or value.is_meta)
    )
