"""The network as a graph of operations: torch.export and ONNX."""

import copy
from os import PathLike

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..models import FMANet
from .description import KEY, Description

MIN_SIZE = 8
"""Least height and width of the frames that an exported network takes, in pixels."""

INPUT, OUTPUT = 'window', 'restored'

OPSET = 20
"""ONNX operators from 2023, which ONNX Runtime has known since 1.17."""


class WindowRestoration(nn.Module):
    """Stage 2 as a function of tensors.

    Args:
        model (FMANet): A model of stage 2.
    """

    def __init__(self, model: FMANet) -> None:
        super().__init__()
        self.net_d = model.net_d
        self.net_r = model.net_r

    def forward(self, window: Tensor) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            window (Tensor): Blurry LR frames, (1, T, 3, H, W), RGB in [0, 1].

        Returns:
            Tensor: Sharp HR frame, (1, 3, sH, sW), about [0, 1].
        """
        return self.net_r(window, self.net_d(window)).output


@torch.no_grad()
def trace(model: FMANet) -> ExportedProgram:
    """Follow the network through one window, for frames of any height and width.

    Frames are taken as a whole: strips, which save memory, are no part of the graph.

    Args:
        model (FMANet): A model of stage 2.

    Returns:
        ExportedProgram: Of :class:`WindowRestoration`, in float32 on the CPU.
    """
    module = copy.deepcopy(WindowRestoration(model)).float().cpu().eval()
    window = torch.rand(1, model.num_frames, 3, 24, 32)
    sizes = {3: Dim('height', min=MIN_SIZE), 4: Dim('width', min=MIN_SIZE)}
    return torch.export.export(module, (window,), dynamic_shapes=(sizes,))


def save_pt2(model: FMANet, description: Description, path: str | PathLike) -> None:
    """Write a network for :func:`torch.export.load`.

    Args:
        model (FMANet): A model of stage 2.
        description (Description): Of it.
        path (str | PathLike): ``.pt2`` file to write.
    """
    extra_files = {KEY: description.to_json()}
    torch.export.save(trace(model), path, extra_files=extra_files)


def save_onnx(model: FMANet, description: Description, path: str | PathLike) -> None:
    """Write a network for ONNX Runtime and its like.

    Args:
        model (FMANet): A model of stage 2.
        description (Description): Of it.
        path (str | PathLike): ``.onnx`` file to write, weights included.

    Raises:
        ImportError: If the packages that it takes are not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'exporting to ONNX needs more packages: pip install "fmanet_mm[export]"'
        ) from error
    program = torch.onnx.export(
        trace(model),
        dynamo=True,
        input_names=[INPUT],
        output_names=[OUTPUT],
        opset_version=OPSET,
        # What loads the file optimises it as well, and in a fraction of the time.
        optimize=False,
        verbose=False,
    )
    program.model.metadata_props[KEY] = description.to_json()
    program.save(path, external_data=False)
