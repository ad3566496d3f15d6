"""The network as a graph of operations: torch.export and ONNX."""

import copy
from os import PathLike

import torch
from torch.export import Dim, ExportedProgram

from ..restoration.description import KEY, Description
from ..restoration.graphs import MIN_SIZE
from ..restoration.protocol import WindowNetwork

INPUT, OUTPUT = 'window', 'restored'

OPSET = 20
"""ONNX operators from 2023, which ONNX Runtime has known since 1.17."""


@torch.no_grad()
def trace(network: WindowNetwork) -> ExportedProgram:
    """Trace a network through one window, for frames of any height and width.

    Frames stay whole: strips, which save memory, are no part of the graph.

    Args:
        network (WindowNetwork): A module in evaluation mode.

    Returns:
        ExportedProgram: Maps a window, (1, T, 3, H, W), RGB in [0, 1], to its restored
        centre frame, (1, 3, sH, sW), in float32 on the CPU.
    """
    module = copy.deepcopy(network).float().cpu().eval()
    window = torch.rand(1, network.num_frames, 3, 24, 32)
    sizes = {3: Dim('height', min=MIN_SIZE), 4: Dim('width', min=MIN_SIZE)}
    return torch.export.export(module, (window,), dynamic_shapes=(sizes,))


def save_pt2(
    network: WindowNetwork, description: Description, path: str | PathLike
) -> None:
    """Write a network for :func:`torch.export.load`.

    Args:
        network (WindowNetwork): A module in evaluation mode.
        description (Description): Of it.
        path (str | PathLike): ``.pt2`` file to write.
    """
    extra_files = {KEY: description.to_json()}
    torch.export.save(trace(network), path, extra_files=extra_files)


def save_onnx(
    network: WindowNetwork, description: Description, path: str | PathLike
) -> None:
    """Write a network for ONNX Runtime and its like.

    Args:
        network (WindowNetwork): A module in evaluation mode.
        description (Description): Of it.
        path (str | PathLike): ``.onnx`` file to write, weights included.

    Raises:
        ImportError: If the packages that this needs are not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'exporting to ONNX needs more packages: pip install "fmanet_mm[export]"'
        ) from error
    program = torch.onnx.export(
        trace(network),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=OPSET,
        # Whatever loads the file optimises it as well, in a fraction of the time.
        optimize=False,
        verbose=False,
    )
    program.model.metadata_props[KEY] = description.to_json()
    program.save(path, external_data=False)
