"""Exporting a network that was trained here."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path

import torch

from ..models import FMANet
from .description import Description
from .graph import save_onnx, save_pt2
from .safetensors import save_safetensors
from ..restoration.exported import load_window_model

TOLERANCE = 1e-4
"""Largest difference of an exported network's output, in parts of the white level."""

HALF_TOLERANCE = 1e-2
"""The same where the weights are rounded to float16."""

_SAVERS: dict[str, Callable] = {
    '.safetensors': save_safetensors,
    '.onnx': save_onnx,
    '.pt2': save_pt2,
}


def export_network(model: FMANet, path: str | PathLike, half: bool = False) -> float:
    """Export a network of stage 2 in the format that the file's ending names.

    What was written is loaded again and compared with the network, on a window of
    another size than the one it was traced with; it gets its name when that is passed.

    Args:
        model (FMANet): A model of stage 2 in evaluation mode, on the CPU, with the
            config it was built from as ``model.cfg``; see
            :func:`~fmanet_mm.restoration.video_restorer.load_model`.
        path (str | PathLike): File to write: ``.safetensors``, ``.onnx`` or ``.pt2``;
            its folder is made if need be.
        half (bool): Whether to round the weights to float16, for half the size. They
            are float32 again when they are loaded. ``.safetensors`` only.

    Returns:
        float: Largest difference to the network's output, which is about [0, 1].

    Raises:
        ValueError: If the format is unknown or has no float16, the model is of stage 1
            or cannot be described, or the exported network gives something else.
        ImportError: If the format needs a package that is not installed.
    """
    path = Path(path)
    if path.suffix not in _SAVERS:
        raise ValueError(
            f'the ending of {path} must name a format: {", ".join(_SAVERS)}'
        )
    save, tolerance = _SAVERS[path.suffix], TOLERANCE
    if half:
        if path.suffix != '.safetensors':
            raise ValueError(f'float16 weights need a .safetensors file, got {path}')
        save = partial(save_safetensors, dtype=torch.float16)
        tolerance = HALF_TOLERANCE
    description = Description.of(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'.{path.stem}.partial{path.suffix}')
    try:
        save(model, description, unfinished)
        difference = _largest_difference(model, unfinished)
        if not difference <= tolerance:
            raise ValueError(
                f'{path} was not written: exported to {path.suffix}, the network gives '
                f'other frames, by up to {difference:.1g} (at most {tolerance:g} is '
                'let pass); export to .safetensors without half, which changes nothing'
            )
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return difference


@torch.no_grad()
def _largest_difference(model: FMANet, path: Path) -> float:
    exported = load_window_model(path, trusted=True)
    window = torch.rand(1, model.num_frames, 3, 19, 45)
    difference = exported(window) - model(window, mode='tensor')
    return difference.abs().max().item()
