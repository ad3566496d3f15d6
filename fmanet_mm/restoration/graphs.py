"""Restoring with a network that was exported as a graph, to .onnx or .pt2."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from ..utils.windows import check_frames, sliding_windows
from .description import KEY, Description

GRAPH_SUFFIXES = ('.onnx', '.pt2')


class GraphRestorer:
    """Restores clips with a graph, window by window; a :class:`ClipRestorer`.

    A graph takes windows, so each frame is encoded T times; and it takes whole frames,
    however little memory there is.

    Args:
        function (Callable): Maps windows, (1, T, 3, H, W), to frames, (1, 3, sH, sW);
            with presence, (T,), as a second argument if the description says so.
        description (Description): Of the network.
        device (torch.device): Where windows have to be and outputs are.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        description: Description,
        device: torch.device,
    ) -> None:
        self.num_frames = description.num_frames
        self.scale = description.scale
        self.min_size = description.min_size
        self.context = self.num_frames // 2
        self.device = device
        self._function = function
        self._takes_presence = description.takes_presence

    def __call__(self, window: Tensor, present: Tensor | None = None) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            window (Tensor): Blurry LR frames, (1, T, 3, H, W), float32, RGB in
                [0, 1], on the device; H and W at least ``min_size``.
            present (Tensor, optional): Which frames exist, the others being beyond an
                end of the clip, (T,), bool; by default all. Graphs that take windows
                alone do not use it.

        Returns:
            Tensor: Sharp HR frame, (1, 3, sH, sW), about [0, 1].

        Raises:
            ValueError: If it is not such a window.
        """
        fits = window.dim() == 5 and window.shape[:3] == (1, self.num_frames, 3)
        if not fits or min(window.shape[3:]) < self.min_size:
            raise ValueError(
                f'expected a window (1, {self.num_frames}, 3, H, W) of frames of at '
                f'least {self.min_size}x{self.min_size} pixels, got '
                f'{tuple(window.shape)}'
            )
        if window.dtype != torch.float32:
            raise ValueError(f'expected a float32 window, got {window.dtype}')
        inputs = [window]
        if self._takes_presence:
            if present is None:
                present = torch.ones(self.num_frames, dtype=torch.bool)
            inputs.append(present.to(self.device))
        with torch.no_grad():
            return self._function(*inputs)

    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """See :meth:`ClipRestorer.restore`."""
        numbered = enumerate(check_frames(frames))
        for window in sliding_windows(numbered, self.num_frames):
            numbers, images = zip(*window, strict=True)
            present = torch.tensor(_find_present(numbers))
            yield self(torch.stack(images).unsqueeze(0), present).squeeze(0)

    def peak_bytes(self, height: int, width: int) -> None:
        """Not known: it depends on the program that runs the graph."""


def _find_present(numbers: Sequence[int]) -> list[bool]:
    """Which frames of a window are no repetitions of an end of the clip."""
    centre = len(numbers) // 2
    towards_centre = (*numbers[1 : centre + 1], None, *numbers[centre:-1])
    return [own != next_ for own, next_ in zip(numbers, towards_centre, strict=True)]


def load_graph(
    path: str | PathLike, device: str | torch.device = 'cpu', *, trusted: bool = False
) -> GraphRestorer:
    """Load a network that was exported as a graph.

    ``.onnx`` files hold numbers and operations, no code. ``.pt2`` files can hold code
    that runs while they are loaded: PyTorch unpickles parts of them and evaluates the
    expressions in them. Load them only if you would also run a program from there.

    Args:
        path (str | PathLike): An ``.onnx`` or ``.pt2`` file that
            ``tools/deployment/export.py`` wrote.
        device (str | torch.device): Where to run it.
        trusted (bool): Whether the file may run code. Needed for ``.pt2``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, damaged, not written by this project, or
            a ``.pt2`` that is not trusted; or if the device cannot run it.
        ImportError: If an ``.onnx`` file is to be run without ONNX Runtime.
    """
    path, device = Path(path), torch.device(device)
    if path.suffix not in GRAPH_SUFFIXES:
        raise ValueError(
            f'{path} is no exported graph; those end in {", ".join(GRAPH_SUFFIXES)}'
        )
    if not path.is_file():
        raise FileNotFoundError(f'there is no exported network {path}; check the path')
    if path.suffix == '.onnx':
        return _load_onnx(path, device)
    if not trusted:
        raise ValueError(
            f'{path} may run code while it is loaded, as every .pt2 file may. If you '
            'made it or trust who did, pass trusted=True; otherwise ask for '
            '.safetensors or .onnx, which hold no code'
        )
    return _load_pt2(path, device)


def _load_pt2(path: Path, device: torch.device) -> GraphRestorer:
    from torch.export.passes import move_to_device_pass

    extra_files = {KEY: ''}
    try:
        program = torch.export.load(path, extra_files=extra_files)
    except Exception as error:  # whatever its parts raise when they are damaged
        raise ValueError(f'{path} cannot be read; is it damaged? ({error})') from error
    description = Description.from_json(extra_files[KEY], path)
    program = move_to_device_pass(program, device)
    return GraphRestorer(program.module(), description, device)


def _load_onnx(path: Path, device: torch.device) -> GraphRestorer:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            f'running {path} needs ONNX Runtime: pip install "fmanet_mm[export]"'
        ) from error
    provider = f'{device.type.upper()}ExecutionProvider'
    if provider not in onnxruntime.get_available_providers():
        raise ValueError(
            f'the installed ONNX Runtime cannot use {device}; install onnxruntime-gpu '
            "instead of onnxruntime, or run on device='cpu'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    settings = {} if device.type == 'cpu' else dict(device_id=device.index or 0)
    try:
        session = onnxruntime.InferenceSession(path, options, [(provider, settings)])
    except Exception as error:  # its exceptions have no common base
        raise ValueError(f'{path} cannot be read; is it damaged? ({error})') from error
    metadata = session.get_modelmeta().custom_metadata_map
    description = Description.from_json(metadata.get(KEY), path)
    names = [input_.name for input_ in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        arrays = (tensor.cpu().numpy() for tensor in inputs)
        (restored,) = session.run(None, dict(zip(names, arrays, strict=True)))
        return torch.from_numpy(restored).to(device)

    return GraphRestorer(run, description, device)
