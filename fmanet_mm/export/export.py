"""Exporting a network that was trained here."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import torch

from ..models import FMANet
from .description import Description
from .graph import save_onnx, save_pt2
from .safetensors import save_safetensors
from .window_model import load_window_model

TOLERANCE = 1e-4
"""Largest difference of an exported network's output, in parts of the white level."""

_SAVERS: dict[str, Callable] = {
    '.safetensors': save_safetensors,
    '.onnx': save_onnx,
    '.pt2': save_pt2,
}


def export_network(model: FMANet, path: str | PathLike) -> float:
    """Export a network of stage 2 in the format that the file's ending names.

    What was written is loaded again and compared with the network, on a window of
    another size than the one it was traced with; it gets its name when that is passed.

    Args:
        model (FMANet): A model of stage 2 in evaluation mode, on the CPU, with the
            config it was built from as ``model.cfg``; see
            :func:`~fmanet_mm.apis.video_restorer.load_model`.
        path (str | PathLike): File to write: ``.safetensors``, ``.onnx`` or ``.pt2``;
            its folder is made if need be.

    Returns:
        float: Largest difference to the network's output, which is about [0, 1].

    Raises:
        ValueError: If the format is unknown, the model is of stage 1, or the exported
            network gives something else.
        ImportError: If the format needs a package that is not installed.
    """
    path = Path(path)
    if path.suffix not in _SAVERS:
        raise ValueError(
            f'the ending of {path} must name a format: {", ".join(_SAVERS)}'
        )
    description = Description.of(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.stem}.partial{path.suffix}')
    try:
        _SAVERS[path.suffix](model, description, partial)
        difference = _largest_difference(model, partial)
        if not difference <= TOLERANCE:
            raise ValueError(
                f'{path} was not written: exported to {path.suffix}, the network gives '
                f'other frames, by up to {difference:.1g} (at most {TOLERANCE:g} is '
                'let pass); export to .safetensors, which keeps the network as it is'
            )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return difference


@torch.no_grad()
def _largest_difference(model: FMANet, path: Path) -> float:
    exported = load_window_model(path, trusted=True)
    window = torch.rand(1, model.num_frames, 3, 19, 45)
    difference = exported(window) - model(window, mode='tensor')
    return difference.abs().max().item()
