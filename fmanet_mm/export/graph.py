"""The network as a graph of operations: torch.export and ONNX."""

import copy
from os import PathLike

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..ops import WHOLE_FRAMES
from ..restoration.description import KEY, Description
from ..restoration.protocol import LevelNetwork, WindowNetwork

INPUTS, OUTPUT = ('window', 'present'), 'restored'

OPSET = 20
"""ONNX operators from 2023, which ONNX Runtime has known since 1.17."""


class LevelWindow(nn.Module):
    """A :class:`LevelNetwork` as a function of the window that a frame depends on.

    Every level is computed for the frames that the levels after it need, one less on
    either side.

    Args:
        network (LevelNetwork): A module.
    """

    num_frames: int

    def __init__(self, network: LevelNetwork) -> None:
        super().__init__()
        self.network = network
        self.num_frames = 2 * network.num_levels + 1

    def forward(self, window: Tensor, present: Tensor) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            window (Tensor): (1, T, 3, H, W), RGB in [0, 1], with T = 2 L + 1.
            present (Tensor): Which frames exist, (T,), bool; the others are beyond an
                end of the clip, and what they show does not matter.

        Returns:
            Tensor: (1, 3, sH, sW).
        """
        state = self.network.encode(window.squeeze(0), WHOLE_FRAMES)
        exists = present.view(-1, 1, 1, 1)
        for level in range(self.network.num_levels):
            feature = state.feature
            inner = slice(1, len(feature) - 1)
            state = type(state)(*(x if x is None else x[inner] for x in state))
            beyond = self.network.beyond_end(state.feature)
            state = self.network.advance(
                level,
                state,
                torch.where(exists[:-2], feature[:-2], beyond),
                torch.where(exists[2:], feature[2:], beyond),
                WHOLE_FRAMES,
            )
            exists = exists[inner]
        return self.network.decode(state, WHOLE_FRAMES)


def as_window_module(
    network: WindowNetwork | LevelNetwork,
) -> WindowNetwork | LevelWindow:
    """A module of windows, (1, T, 3, H, W), and T, ``num_frames``."""
    return LevelWindow(network) if hasattr(network, 'advance') else network


def example_inputs(
    module: WindowNetwork | LevelWindow, height: int, width: int
) -> tuple[Tensor, ...]:
    """Random inputs of :func:`as_window_module`, of which the last frame is missing."""
    window = torch.rand(1, module.num_frames, 3, height, width)
    if not isinstance(module, LevelWindow):
        return (window,)
    return window, torch.arange(module.num_frames) < module.num_frames - 1


@torch.no_grad()
def trace(
    network: WindowNetwork | LevelNetwork, min_size: int = Description.min_size
) -> ExportedProgram:
    """Trace a network through one window, for frames of any height and width.

    Frames stay whole: strips, which save memory, are no part of the graph.

    Args:
        network (WindowNetwork | LevelNetwork): A module in evaluation mode.
        min_size (int): Least height and width of the frames.

    Returns:
        ExportedProgram: Maps a window, (1, T, 3, H, W), RGB in [0, 1], to its restored
        centre frame, (1, 3, sH, sW), in float32 on the CPU; of a
        :class:`LevelNetwork`, see :class:`LevelWindow`.
    """
    module = as_window_module(copy.deepcopy(network).float().cpu().eval())
    inputs = example_inputs(module, min_size + 16, min_size + 24)
    sizes = {3: Dim('height', min=min_size), 4: Dim('width', min=min_size)}
    dynamic_shapes = (sizes, *(None for _ in inputs[1:]))
    return torch.export.export(module, inputs, dynamic_shapes=dynamic_shapes)


def save_pt2(
    network: WindowNetwork | LevelNetwork,
    description: Description,
    path: str | PathLike,
) -> None:
    """Write a network for :func:`torch.export.load`.

    Args:
        network (WindowNetwork | LevelNetwork): A module in evaluation mode.
        description (Description): Of it.
        path (str | PathLike): ``.pt2`` file to write.
    """
    extra_files = {KEY: description.to_json()}
    torch.export.save(
        trace(network, description.min_size), path, extra_files=extra_files
    )


def save_onnx(
    network: WindowNetwork | LevelNetwork,
    description: Description,
    path: str | PathLike,
) -> None:
    """Write a network for ONNX Runtime and its like.

    Args:
        network (WindowNetwork | LevelNetwork): A module in evaluation mode.
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
    traced = trace(network, description.min_size)
    program = torch.onnx.export(
        traced,
        dynamo=True,
        input_names=INPUTS[: len(traced.graph_signature.user_inputs)],
        output_names=[OUTPUT],
        opset_version=OPSET,
        # Whatever loads the file optimises it as well, in a fraction of the time.
        optimize=False,
        verbose=False,
    )
    program.model.metadata_props[KEY] = description.to_json()
    program.save(path, external_data=False)
