"""Restoring streams: encode every frame once, refine every window."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import repeat
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from ..ops import Strips
from ..utils.windows import check_frames, sliding_windows
from .batches import (
    fastest_batch,
    in_batches,
    split_batch,
    stack_frames,
    stack_windows,
)
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
        """Choose the settings when the size of the frames is known, once for a size."""
        for index, frame in enumerate(frames):
            size = (*frame.shape[1:], self._feature_dtype(frame))
            if index == 0 and size != self._size:
                self._size = size
                self._choose(*size)
            yield frame

    def compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, strips last; if memory runs out, again on lower strips."""
        while True:
            try:
                return self._call(function, *arguments)
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

    def _choose(self, height: int, width: int, dtype: torch.dtype) -> None:
        self.strips = self._choose_strips(height, width, dtype)

    def _choose_strips(self, height: int, width: int, dtype: torch.dtype) -> Strips:
        return choose_strips(
            self.prepared,
            height,
            width,
            self._budget_bytes(),
            dtype,
            self.fastest_strips(height, width),
            self.measure,
        )

    def _budget_bytes(self) -> float:
        budget = self._memory_budget
        return free_bytes(self.device) if budget is None else budget * 2**30

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        with self._autocast():
            return function(*arguments, self.strips)

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

    A GPU computes several small frames as one batch, if the network takes batches and
    the memory allows it: N consecutive frames are encoded, then N consecutive windows
    refined. A batch always has the size that was chosen for the frames, the last one of
    a clip as well, so that every frame is computed by the same kernels. Outputs come up
    to two batches later than one by one. If memory runs out, frames are computed one by
    one from then on.

    Args:
        network (WindowNetwork): In evaluation mode.
        memory_budget (float, optional): See :class:`StripedRestorer`.
        autocast_dtype (torch.dtype, optional): See :class:`StripedRestorer`.
        batch_size (int, optional): Frames of a batch, if they fit into memory and stay
            whole; else they are computed one by one. By default that of
            :func:`~fmanet_mm.restoration.batches.fastest_batch`.

    Attributes:
        context (int): T // 2.
        batch_size (int): Frames that are computed at once, chosen with the first one.

    Raises:
        ValueError: If the network restores no windows or takes no batches, the budget
            is not positive, or ``batch_size`` is below 1.
    """

    measure = staticmethod(streaming_peak_bytes)
    graphed = GraphedNetwork

    def __init__(
        self,
        network: WindowNetwork,
        memory_budget: float | None = None,
        autocast_dtype: torch.dtype | None = None,
        batch_size: int | None = None,
    ) -> None:
        if not hasattr(network, 'refine'):
            raise ValueError(
                f'{type(network).__name__} restores no video; use the config and the '
                'checkpoint of a network that does, such as one of stage 2'
            )
        self._wanted_batch = _find_batch_size(batch_size, network)
        super().__init__(network, memory_budget, autocast_dtype)
        self.context = network.num_frames // 2
        self.batch_size = 1

    def period(self, height: int, width: int) -> int:
        """See :class:`ClipRestorer`; frames of a batch, if they fit into memory."""
        return self._wanted_batch or fastest_batch(height, width, self.device)

    def peak_bytes(self, height: int, width: int) -> int:
        """See :meth:`ClipRestorer.peak_bytes`."""
        dtype = self._autocast_dtype or torch.float32
        strips = self._choose_strips(height, width, dtype)
        batch_size = self._choose_batch(strips, height, width, dtype)
        return self.measure(
            self.prepared, height, width, strips, dtype, batch_size=batch_size
        )

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
            pair
            for batch in self._in_batches(self.plan(check_frames(frames)))
            for pair in zip(batch, self._encode(batch), strict=True)
        )
        windows = map(tuple, sliding_windows(pairs, self.network.num_frames))
        for batch in self._in_batches(windows):
            for restored in self._refine(batch):
                yield restored.squeeze(0)

    def _in_batches(self, items: Iterable[Any]) -> Iterator[list[Any]]:
        return in_batches(items, lambda: self.batch_size)

    def _encode(self, frames: Sequence[Tensor]) -> list[Any]:
        return self._compute_batch(self.computing.encode, frames, stack_frames)

    def _refine(self, windows: Sequence[Sequence[tuple[Tensor, Any]]]) -> list[Tensor]:
        """Restore windows of frames with what is encoded of each."""
        encoded = [[encoded for _, encoded in window] for window in windows]
        restored = self._compute_batch(self.computing.refine, encoded, stack_windows)
        if self.is_half:
            for index, window in enumerate(windows):
                if not restored[index].isfinite().all():
                    restored[index] = self._restore_in_float32(window)
        return restored

    def _restore_in_float32(self, window: Sequence[tuple[Tensor, Any]]) -> Tensor:
        with self.in_float32():
            encode, refine = self.computing.encode, self.computing.refine
            encoded = [self.compute(encode, frame.unsqueeze(0)) for frame, _ in window]
            return self.compute(refine, tuple(encoded))

    def _compute_batch(
        self,
        function: Callable[..., Any],
        items: Sequence[Any],
        stack: Callable[[Sequence[Any]], Any],
    ) -> list[Any]:
        """Call a function for each of several items.

        Args:
            function (Callable): Of what ``stack`` makes of items, and strips.
            items (Sequence[Any]): What to compute.
            stack (Callable): Makes a batch of items, or of one.

        Returns:
            list[Any]: For each item the result, a batch of one.
        """
        if self.batch_size > 1:
            filled = [*items, *repeat(items[-1], self.batch_size - len(items))]
            try:
                return split_batch(self._call(function, stack(filled)), len(items))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self._leave_batches()
        return [self.compute(function, stack([item])) for item in items]

    def _leave_batches(self) -> None:
        self.batch_size = 1
        if self._graphs:
            self._graphs.release()
        torch.cuda.empty_cache()
        print_log('memory ran out: continuing with one frame at a time')

    def _choose(self, height: int, width: int, dtype: torch.dtype) -> None:
        super()._choose(height, width, dtype)
        self.batch_size = self._choose_batch(self.strips, height, width, dtype)

    def _choose_batch(
        self, strips: Strips, height: int, width: int, dtype: torch.dtype
    ) -> int:
        """Frames of a batch; 1 on strips, and if memory does not suffice for it."""
        size = height, width
        batch_size = self.period(*size)
        if batch_size == 1 or strips.rows is not None:
            return 1
        peak = self.measure(self.prepared, *size, strips, dtype, batch_size=batch_size)
        return batch_size if peak <= self._budget_bytes() else 1


def _find_batch_size(batch_size: int | None, network: WindowNetwork) -> int | None:
    """The size of batches of a network; None: the fastest one."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f'batch_size must be 1 or more, got {batch_size}')
    if getattr(network, 'takes_batches', False):
        return batch_size
    if batch_size not in (None, 1):
        raise ValueError(
            f'{type(network).__name__} takes one frame at a time, got '
            f'batch_size={batch_size}; leave it out, or set takes_batches of a network '
            'that restores (N, ...) as well'
        )
    return 1


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
