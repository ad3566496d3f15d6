"""Running an exported network, whatever it was exported to."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor
from torch.export.passes import move_to_device_pass

from ..utils.windows import check_frames, sliding_windows
from ..export.description import KEY, Description
from ..export.graph import MIN_SIZE
from ..export.safetensors import load_safetensors_model


class WindowModel(ABC):
    """A network that restores the centre frame of a window.

    Args:
        num_frames (int): Frames of a window, T.
        scale (int): Ratio of HR to LR size, s.
        device (torch.device): Where windows are to be and outputs are.
    """

    def __init__(self, num_frames: int, scale: int, device: torch.device) -> None:
        self.num_frames = num_frames
        self.scale = scale
        self.device = device

    def __call__(self, window: Tensor) -> Tensor:
        """Restore the centre frame of a window.

        Args:
            window (Tensor): Blurry LR frames, (1, T, 3, H, W), float32, RGB in
                [0, 1], on the model's device; H and W at least 8.

        Returns:
            Tensor: Sharp HR frame, (1, 3, sH, sW), about [0, 1].

        Raises:
            ValueError: If it is not such a window.
        """
        fits = window.dim() == 5 and window.shape[:3] == (1, self.num_frames, 3)
        if not fits or min(window.shape[3:]) < MIN_SIZE:
            raise ValueError(
                f'expected a window (1, {self.num_frames}, 3, H, W) of frames of at '
                f'least {MIN_SIZE}x{MIN_SIZE} pixels, got {tuple(window.shape)}'
            )
        if window.dtype != torch.float32:
            raise ValueError(f'expected a float32 window, got {window.dtype}')
        return self._restore(window)

    @abstractmethod
    def _restore(self, window: Tensor) -> Tensor: ...


class TorchWindowModel(WindowModel):
    """Runs in PyTorch.

    Args:
        function (Callable): Maps windows to restored frames.
        **attributes: See :class:`WindowModel`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], **attributes) -> None:
        super().__init__(**attributes)
        self.function = function

    @torch.no_grad()
    def _restore(self, window: Tensor) -> Tensor:
        return self.function(window)


class OnnxWindowModel(WindowModel):
    """Runs in ONNX Runtime.

    Args:
        session (onnxruntime.InferenceSession): Of the network.
        **attributes: See :class:`WindowModel`.
    """

    def __init__(self, session, **attributes) -> None:
        super().__init__(**attributes)
        self.session = session

    def _restore(self, window: Tensor) -> Tensor:
        (input_,) = self.session.get_inputs()
        (restored,) = self.session.run(None, {input_.name: window.cpu().numpy()})
        return torch.from_numpy(restored).to(self.device)


class WindowRestorer:
    """Restores a video with an exported network, window by window.

    Stands in for :class:`~fmanet_mm.apis.StreamingRestorer`. An exported network takes
    windows, so each frame is encoded T times; and it takes frames as a whole, however
    little memory there is.

    Args:
        model (WindowModel): From :func:`load_window_model`.
    """

    def __init__(self, model: WindowModel) -> None:
        self.model = model

    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Restore a clip; see :meth:`fmanet_mm.apis.StreamingRestorer.restore`.

        Args:
            frames (Iterable[Tensor]): Blurry LR frames in order, each (3, H, W),
                float32, RGB in [0, 1], on the model's device.

        Yields:
            Tensor: For every frame the sharp HR frame, (3, sH, sW), about [0, 1].

        Raises:
            ValueError: If a frame has another shape than (3, H, W) or than the first,
                or is too small.
        """
        for window in sliding_windows(check_frames(frames), self.model.num_frames):
            yield self.model(torch.stack(tuple(window)).unsqueeze(0)).squeeze(0)


def load_window_model(
    path: str | PathLike, device: str | torch.device = 'cpu', *, trusted: bool = False
) -> WindowModel:
    """Load an exported network.

    ``.safetensors`` and ``.onnx`` files hold numbers and operations, no code.
    ``.pt2`` files can hold code that runs while they are loaded: PyTorch unpickles
    parts of them and evaluates the expressions in them. Load them only from where
    programs would be taken from, too.

    Args:
        path (str | PathLike): A ``.safetensors``, ``.onnx`` or ``.pt2`` file that
            ``tools/deployment/export.py`` wrote.
        device (str | torch.device): Where to run it.
        trusted (bool): Whether the file may run code. Needed for ``.pt2``.

    Returns:
        WindowModel: With ``num_frames``, ``scale`` and ``device``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is of another kind, damaged, not written by this project, or
            a ``.pt2`` that is not trusted; or if the device cannot run it.
        ImportError: If a ``.onnx`` file is to be run without ONNX Runtime.
    """
    path, device = Path(path), torch.device(device)
    if path.suffix not in _LOADERS:
        raise ValueError(
            f'{path} is no exported network; those end in {", ".join(_LOADERS)}'
        )
    if not path.is_file():
        raise FileNotFoundError(f'there is no exported network {path}; check the path')
    if path.suffix == '.pt2' and not trusted:
        raise ValueError(
            f'{path} may run code while it is loaded, as every .pt2 file may. If you '
            'made it or trust who did, pass trusted=True; otherwise ask for '
            '.safetensors or .onnx, which hold no code'
        )
    return _LOADERS[path.suffix](path, device)


def _load_safetensors(path: Path, device: torch.device) -> WindowModel:
    model = load_safetensors_model(path, device)
    return TorchWindowModel(
        lambda window: model(window, mode='tensor'),
        num_frames=model.num_frames,
        scale=model.scale,
        device=device,
    )


def _load_pt2(path: Path, device: torch.device) -> WindowModel:
    extra_files = {KEY: ''}
    try:
        program = torch.export.load(path, extra_files=extra_files)
    except Exception as error:  # whatever its parts raise when they are damaged
        raise ValueError(f'{path} cannot be read; is it damaged? ({error})') from error
    description = Description.from_json(extra_files[KEY], path)
    program = move_to_device_pass(program, device)
    return TorchWindowModel(
        program.module(),
        num_frames=description.num_frames,
        scale=description.scale,
        device=device,
    )


def _load_onnx(path: Path, device: torch.device) -> WindowModel:
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
    return OnnxWindowModel(
        session,
        num_frames=description.num_frames,
        scale=description.scale,
        device=device,
    )


_LOADERS = {
    '.safetensors': _load_safetensors,
    '.onnx': _load_onnx,
    '.pt2': _load_pt2,
}
