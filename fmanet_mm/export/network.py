"""Exporting a network, and checking the file against it."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from pathlib import Path

import torch

from ..restoration.description import Description
from ..restoration.graphs import GRAPH_SUFFIXES, load_graph
from ..restoration.loading import load_network
from ..restoration.protocol import LevelNetwork, WindowNetwork
from ..utils.files import atomic_write
from .graph import as_window_module, example_inputs, save_onnx, save_pt2
from .safetensors import save_safetensors

TOLERANCE = 1e-4
"""Largest difference of an exported network's output, in parts of the white level."""

HALF_TOLERANCE = 1e-2
"""The same where the weights are rounded to float16."""

SAVERS: dict[str, Callable] = {
    '.safetensors': save_safetensors,
    '.onnx': save_onnx,
    '.pt2': save_pt2,
}
"""Functions of (network, description, path), by the suffix of the file."""


def export_network(
    network: WindowNetwork | LevelNetwork, path: str | PathLike, half: bool = False
) -> float:
    """Export a network in the format that the file's suffix names.

    The file is loaded again and compared with the network, on a window of another size
    than the one it was traced with, before it gets its name.

    Args:
        network (WindowNetwork | LevelNetwork): In evaluation mode, on the CPU, with the
            config it was built from as ``cfg``; see
            :func:`~fmanet_mm.restoration.loading.load_network`.
        path (str | PathLike): File to write: ``.safetensors``, ``.onnx`` or ``.pt2``;
            its folder is created if missing.
        half (bool): Whether to round the weights to float16, for half the size. They
            are float32 again when they are loaded. ``.safetensors`` only.

    Returns:
        float: Largest difference to the network's output, which is about [0, 1].

    Raises:
        ValueError: If the format is unknown or has no float16, the network restores no
            windows or cannot be described, or the exported network's output differs.
        ImportError: If the format needs a package that is not installed.
    """
    path = Path(path)
    if path.suffix not in SAVERS:
        raise ValueError(
            f'the suffix of {path} must name a format: {", ".join(SAVERS)}'
        )
    save, tolerance = SAVERS[path.suffix], TOLERANCE
    if half:
        if path.suffix != '.safetensors':
            raise ValueError(f'float16 weights need a .safetensors file, got {path}')
        save = partial(save_safetensors, dtype=torch.float16)
        tolerance = HALF_TOLERANCE
    description = Description.of(network)
    with atomic_write(path) as draft:
        save(network, description, draft)
        difference = _largest_difference(network, draft, description.min_size)
        if not difference <= tolerance:
            raise ValueError(
                f'{path} was not written: the exported network differs by up to '
                f'{difference:.1g} in its frames (at most {tolerance:g} is '
                'accepted); export to .safetensors without half, which is exact'
            )
    return difference


@torch.no_grad()
def _largest_difference(
    network: WindowNetwork | LevelNetwork, path: Path, min_size: int
) -> float:
    module = as_window_module(network)
    is_graph = path.suffix in GRAPH_SUFFIXES
    exported = (
        load_graph(path, trusted=True)
        if is_graph
        else as_window_module(load_network(path))
    )
    inputs = example_inputs(module, min_size + 11, min_size + 37)
    return (exported(*inputs) - module(*inputs)).abs().max().item()
