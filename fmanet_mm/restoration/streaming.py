"""Restoring streams: encode every frame once, refine every window."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..ops import Strips
from ..utils.windows import check_frames, sliding_windows
from .cuda_graphs import GraphedNetwork
from .memory import choose_strips, free_bytes, is_out_of_memory, streaming_peak_bytes
from .protocol import WindowNetwork

GPU_CHANNELS = 8
"""Tensor cores convolve fastest with multiples of this number of channels."""


class StripedRestorer:
    """Budget, precision and strips of what restores clips of any length.

    A subclass calls its network by :meth:`compute`, and says in :attr:`measure` what
    memory that takes.

    Args:
        network (nn.Module): In evaluation mode.
        memory_budget (float, optional): Largest memory for the tensors of the
            computation, in GiB, weights not counted. By default most of what is free
            when the first clip of a size begins.
        autocast_dtype (torch.dtype, optional): Type to compute in, as under autocast.

    Attributes:
        network (nn.Module): As given.
        prepared (nn.Module): What computes: the network's inference form, if it has
            one.
        scale (int): See :class:`ClipRestorer`.
        device (torch.device): Of the network's weights; the CPU if it has none.
        strips (Strips): On which frames are computed, chosen with the first one.
        measure (Callable): Bytes for (network, height, width, strips, dtype).
        graphed (type, optional): Captures the functions of such a network on a GPU.

    Raises:
        ValueError: If the budget is not positive.
    """

    measure: Callable[..., int]
    graphed: type | None = None

    def __init__(
        self,
        network: Any,
        memory_budget: float | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        if memory_budget is not None and memory_budget <= 0:
            raise ValueError(
                f'memory_budget must be a positive number of GiB, got {memory_budget}'
            )
        self.network = network
        self.scale = network.scale
        self.device = device_of(network)
        self._memory_budget = memory_budget
        self._autocast_dtype = autocast_dtype
        self.prepared = prepare(network, self.device, autocast_dtype)
        self._graphs = None
        if self.graphed and self.device.type == 'cuda' and torch.cuda.is_available():
            self._graphs = self.graphed(self.prepared)
            self.measure = partial(self.measure, graphs=True)
        self._overflow_reported = False
        self._size = None
        self.strips = Strips()

    def peak_bytes(self, height: int, width: int) -> int:
        """See :meth:`ClipRestorer.peak_bytes`."""
        dtype = self._autocast_dtype or torch.float32
        strips = self._choose_strips(height, width, dtype)
        return self.measure(self.prepared, height, width, strips, dtype)

    @property
    def computing(self) -> Any:
        """What is prepared, by CUDA graphs if it is what they were made for."""
        if self._graphs and self._graphs.network is self.prepared:
            return self._graphs
        return self.prepared

    def fastest_strips(self, height: int, width: int) -> Strips:
        """See :meth:`Strips.fastest`."""
        return Strips.fastest(height, width, self.device)

    def plan(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Choose the strips when the size of the frames is known, once for a size."""
        for index, frame in enumerate(frames):
            size = (*frame.shape[1:], self._feature_dtype(frame))
            if index == 0 and size != self._size:
                self._size = size
                self.strips = self._choose_strips(*size)
            yield frame

    def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, strips last; if memory runs out, again on lower strips."""
        while True:
            try:
                with self._autocast():
                    return function(*arguments, self.strips)
            except Exception as error:
                lower = self.strips.halved(self._size[0])
                if not is_out_of_memory(error) or lower is None:
                    raise
            self.strips = lower
            torch.cuda.empty_cache()
            print_log(f'memory ran out: continuing with strips of {lower.rows} rows')

    @property
    def is_half(self) -> bool:
        """Whether it computes in half precision."""
        return self._autocast_dtype not in (None, torch.float32)

    @contextmanager
    def in_float32(self) -> Iterator[None]:
        """Compute numbers that are too large for half precision; reported once."""
        if not self._overflow_reported:
            self._overflow_reported = True
            print_log(
                'some frames are not finite in half precision; they are computed again '
                'in fp32'
            )
        in_half = self._autocast_dtype, self.prepared
        self._autocast_dtype = None
        self.prepared = prepare(self.network, self.device)
        try:
            yield
        finally:
            self._autocast_dtype, self.prepared = in_half

    def _choose_strips(self, height: int, width: int, dtype: torch.dtype) -> Strips:
        budget = self._memory_budget
        return choose_strips(
            self.prepared,
            height,
            width,
            free_bytes(self.device) if budget is None else budget * 2**30,
            dtype,
            self.fastest_strips(height, width),
            self.measure,
        )

    def _autocast(self):
        is_prepared = self.prepared is not self.network
        if self._autocast_dtype is None or is_prepared:
            return nullcontext()
        return torch.autocast(self.device.type, self._autocast_dtype)

    def _feature_dtype(self, frame: Tensor) -> torch.dtype:
        if self._autocast_dtype is not None:
            return self._autocast_dtype
        if torch.is_autocast_enabled(frame.device.type):
            return torch.get_autocast_dtype(frame.device.type)
        return frame.dtype


class StreamingRestorer(StripedRestorer):
    """Restores clips of any length in constant memory; a :class:`ClipRestorer`.

    Every frame is encoded once and T of them are kept; the rest is computed per window.

    Large frames are computed on horizontal strips, of the height that is fastest if the
    memory allows it; that changes no output beyond rounding. If memory runs out all the
    same, the frame is computed again on strips half as high. A frame that is not finite
    in half precision is computed again in float32.

    Args:
        network (WindowNetwork): In evaluation mode.
        memory_budget (float, optional): See :class:`StripedRestorer`.
        autocast_dtype (torch.dtype, optional): See :class:`StripedRestorer`.

    Attributes:
        context (int): T // 2.

    Raises:
        ValueError: If the network restores no windows, or the budget is not positive.
    """

    measure = staticmethod(streaming_peak_bytes)
    graphed = GraphedNetwork

    def __init__(
        self,
        network: WindowNetwork,
        memory_budget: float | None = None,
        autocast_dtype: torch.dtype | None = None,
    ) -> None:
        if not hasattr(network, 'refine'):
            raise ValueError(
                f'{type(network).__name__} restores no video; use the config and the '
                'checkpoint of a network that does, such as one of stage 2'
            )
        super().__init__(network, memory_budget, autocast_dtype)
        self.context = network.num_frames // 2

    @torch.inference_mode()
    def restore(self, frames: Iterable[Tensor]) -> Iterator[Tensor]:
        """Restore a clip.

        Windows that reach over an end of the clip are filled with its first or last
        frame. Each call is a clip of its own: given the shots of a video one by one, no
        window crosses a cut.

        Args:
            frames (Iterable[Tensor]): Blurry LR frames in order, each (3, H, W), RGB in
                [0, 1], of the network's type and on its device.

        Yields:
            Tensor: For every frame the sharp HR frame, (3, sH, sW), about [0, 1].

        Raises:
            ValueError: If a frame has another shape than (3, H, W) or than the first.
        """
        pairs = (
            (frame, self._encode(frame)) for frame in self.plan(check_frames(frames))
        )
        for window in sliding_windows(pairs, self.network.num_frames):
            inputs, encoded = zip(*window, strict=True)
            restored = self.compute(self.computing.refine, encoded)
            if self.is_half and not restored.isfinite().all():
                with self.in_float32():
                    encoded = tuple(map(self._encode, inputs))
                    restored = self.compute(self.computing.refine, encoded)
            yield restored.squeeze(0)

    def _encode(self, frame: Tensor) -> Any:
        return self.compute(self.computing.encode, frame.unsqueeze(0))


def prepare(
    network: WindowNetwork, device: torch.device, dtype: torch.dtype | None = None
) -> WindowNetwork:
    """Make a network's inference form, if it has one.

    Args:
        network (WindowNetwork): The network.
        device (torch.device): Where it computes.
        dtype (torch.dtype, optional): Type to compute in; the network's by default.

    Returns:
        WindowNetwork: The form, in this type, or the network as it is.
    """
    make_form = getattr(network, 'inference_form', None)
    if make_form is None:
        return network
    tensor_cores = torch.backends.cuda.matmul.allow_tf32 or dtype is not None
    multiple = GPU_CHANNELS if device.type == 'cuda' and tensor_cores else 1
    form = make_form(multiple)
    return form if dtype is None else form.to(dtype)


def device_of(network: object) -> torch.device:
    """The device of a network's weights; the CPU for networks without."""
    parameters = getattr(network, 'parameters', lambda: ())()
    weight = next(iter(parameters), None)
    return torch.device('cpu') if weight is None else weight.device
