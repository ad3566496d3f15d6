"""The time that a GPU would take for a frame, predicted without one.

    python benchmarks/cost_model.py --size 180x320 --dtype bf16

The operations of a frame are recorded on tensors without data, on a GPU that need not
exist. Each becomes the kernels that torch and cuDNN start for it, and each kernel takes
the time of its memory or of its arithmetic, whichever is longer, at rates that were
measured. The same code gives the same figures on every machine, so that a test can
bound them.

The rates are those of one H100 80GB with torch 2.11 and CUDA 13.0; a 3x3 convolution
was timed on 3 frames of 180x320 in channels_last. The others are divided out of
profiles of the published network at that size, so they hold for large frames and for
tensors beyond the caches. Four are assumptions, and say so.

Predicted and measured milliseconds of a frame, of the package as it was when it was
measured (0.1.0) and of the published form. Only the stream with weights in bf16 gave
rates, by kinds of kernels, and those in TF32 and float32 the rate of float32:

    stream, bf16 weights    114    113 in CUDA graphs
    stream, bf16 autocast   131    137
    stream, TF32            110    110
    stream, fp32            185    191
    window, bf16 autocast   134    152
    plain, bf16 autocast     88    103
    plain, TF32             129    135
    plain, fp32             222    195
    720x1280, bf16 weights 1,692  1,817

Less sure are kernels that nobody has measured: products on tensor cores, fused kernels,
and aligned 1x1 convolutions, which are taken to be bound by their memory.

What the model does not know: launches that cuDNN makes for itself (it counts four of
five), what is saved by 50 MB of cache, and kernels that run at the same time.
"""

import argparse
import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from math import ceil, prod
from typing import NamedTuple

import torch
from cases import Task, frame_size
from networks import build_package
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fmanet_mm.ops import Strips
from fmanet_mm.ops.fused import find_kernels
from fmanet_mm.ops.live_bytes import LiveBytes
from fmanet_mm.restoration.batches import split_batch, stack_windows
from fmanet_mm.restoration.protocol import WindowNetwork
from fmanet_mm.restoration.streaming import GPU_CHANNELS

COPY_GBS = 2908
"""Bytes read and written a second by a large copy, in GB; elementwise kernels' too."""

TRANSPOSE_GBS = 750
"""Of copies that bring another dimension of a tensor's memory to the front.

What the 417 copies of a window took, 5.8 ms, beyond the rest of them.
"""

DEPTHWISE_GBS = 1500
"""Of depth-wise convolutions: 3.0 ms for 120 of 90 and 239 channels."""

FUSED_GBS = 2300
"""Of fused kernels that compute about as long as they move data.

An assumption: four fifths of a copy's. They read a row once and its neighbours in the
caches, and their arithmetic, counted in instructions, takes no longer.
"""

GRID_SAMPLE_GBS = 1950
"""Of grid sampling: 1.1 ms for 15 of (27, 10, 180, 320) and two of images."""

LAYER_NORM_GBS = 610
"""Of the second half of a layer norm: 2.6 ms for 72 of (1, 180, 320, 90)."""

MOMENTS_NS = 4.8
"""For each row of a layer norm whose length is no multiple of 4: 19.9 ms for 72.

Others compute the moments in the same kernel, here at the rate of the second half; that
is an assumption.
"""

CONV_TFLOPS = dict(
    half=dict(unaligned=115, aligned=320, full=491, unaligned_1x1=38),
    tf32=dict(unaligned=77, aligned=176, full=278, unaligned_1x1=25),
    fp32=dict(unaligned=20, aligned=20, full=20, unaligned_1x1=20),
)
"""Of convolutions, with 90 (unaligned), 96 (aligned) and 128 (full) channels.

Unaligned ones include the time of padding. In half precision 1x1 convolutions of 90
channels to 239 or to 90 took 3.2 ms for 48 and 3.0 ms for 114; in TF32 the same ratio
is assumed. The rate of float32 is what a frame in float32 takes longer than in TF32.
"""

CONV_OUTPUTS = 32
"""Output channels that tensor cores compute at a time; fewer take as long."""

ALIGNED_BYTES = 16
"""The channels of a pixel should be a multiple of it."""

PRODUCT_NS = dict(fp32=31.4, tf32=31.4 / 4, half=31.4 / 4)
"""For each step along the inner side of a matrix product, which no kernel splits.

In float32, 24 products of (6, 15, 57600) and (6, 57600, 15) took 43.5 ms. That tensor
cores take a quarter is an assumption.
"""

PRODUCT_TILE = 32
"""Rows and columns of a product that one block of threads computes."""

RESIDENT_TILES = 8 * 132
"""Such blocks that compute at the same time; in float32 they reach 68 TFLOP/s."""

KERNEL_US = 2.2
"""Least time of a kernel, in which only a few bytes are moved."""

STRIDED_CAT_US = 11.8
"""Least time of a concatenation of slices: 1.5 ms for 129 of weights."""

LAUNCH_US = 15
"""Time of the CPU for each launch: 19.7 ms for an encoded frame.

Of its 1,574 launches the model counts 1,307. Larger figures, taken while the queue of
the GPU was full, include waiting for it.
"""

GPU = torch.device('cuda', 0)

DTYPES = dict(
    fp32=torch.float32, tf32=torch.float32, bf16=torch.bfloat16, fp16=torch.float16
)

_FUSED = dict(
    depthwise='depth-wise', gated_depthwise='depth-wise', channel_sums='matrix product'
)
_COPIES = ('clone', 'copy_', '_to_copy', 'pixel_shuffle', 'pixel_unshuffle')
_UNINITIALISED = (
    'empty',
    'empty_like',
    'empty_strided',
    'new_empty',
    'new_empty_strided',
)


class Spec(NamedTuple):
    """Shape, strides and type of a tensor.

    Attributes:
        shape (tuple[int]): Its sizes.
        strides (tuple[int]): In elements.
        dtype (str): Such as ``'bfloat16'``.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, x: Tensor) -> 'Spec':
        """Describe a tensor."""
        return cls(tuple(x.shape), x.stride(), str(x.dtype).removeprefix('torch.'))

    @property
    def element_bytes(self) -> int:
        """Bytes of an element."""
        return getattr(torch, self.dtype).itemsize

    @property
    def bytes(self) -> int:
        """Bytes in memory; what is expanded counts once."""
        sizes = zip(self.shape, self.strides, strict=True)
        return prod(n for n, stride in sizes if stride or not n) * self.element_bytes

    @property
    def fastest(self) -> int:
        """The dimension whose elements are neighbours in memory."""
        sizes = [
            n if stride else 1
            for n, stride in zip(self.shape, self.strides, strict=True)
        ]
        dims = [dim for dim, n in enumerate(sizes) if n > 1]
        return min(dims, key=self.strides.__getitem__, default=0)

    @property
    def channels_last(self) -> bool:
        """Whether the channels of (N, C, H, W) are neighbours in memory."""
        return len(self.shape) == 4 and self.strides[1] < self.strides[3]

    def contiguous(self, channels_last: bool) -> bool:
        """Whether it has no gaps in one of the two layouts."""
        order = (0, 2, 3, 1) if channels_last else range(len(self.shape))
        expected = 1
        for dim in reversed(order):
            if self.shape[dim] > 1 and self.strides[dim] != expected:
                return False
            expected *= self.shape[dim]
        return True


class Operation(NamedTuple):
    """An operation of torch.

    Attributes:
        name (str): Such as ``'aten.convolution'``.
        inputs (tuple[Spec]): Tensors that it takes, in order.
        outputs (tuple[Spec]): Tensors that it returns.
    """

    name: str
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]


class Kernel(NamedTuple):
    """What a launch costs.

    Attributes:
        kind (str): What the table shows it under.
        bytes (int): Bytes that it reads and writes.
        flops (int): Floating-point operations of convolutions and products.
        ms (float): Time of the GPU.
    """

    kind: str
    bytes: int
    flops: int
    ms: float


class Cost(NamedTuple):
    """Sums over kernels.

    Attributes:
        launches (int): Kernels started.
        bytes (int): Bytes read and written.
        flops (int): Floating-point operations of convolutions and products.
        device_ms (float): Time of the GPU; all of it in a CUDA graph.
    """

    launches: int
    bytes: int
    flops: int
    device_ms: float

    @classmethod
    def of(cls, kernels: Iterable[Kernel]) -> 'Cost':
        """Add kernels up."""
        kernels = list(kernels)
        return cls(
            len(kernels),
            sum(kernel.bytes for kernel in kernels),
            sum(kernel.flops for kernel in kernels),
            sum(kernel.ms for kernel in kernels),
        )

    @property
    def launch_ms(self) -> float:
        """Time of the CPU to start the kernels one by one."""
        return self.launches * LAUNCH_US / 1e3

    @property
    def eager_ms(self) -> float:
        """Time without a CUDA graph: that of the CPU or of the GPU."""
        return max(self.device_ms, self.launch_ms)


class FrameCost(NamedTuple):
    """What the next frame of a stream costs.

    Attributes:
        encode (list[Kernel]): Of encoding the frame.
        refine (list[Kernel]): Of refining a window.
        tensor_bytes (int): Most bytes of tensors alive at once, without weights.
    """

    encode: list[Kernel]
    refine: list[Kernel]
    tensor_bytes: int = 0

    @property
    def total(self) -> Cost:
        """Of both."""
        return Cost.of(self.encode + self.refine)

    @property
    def eager_ms(self) -> float:
        """Time without a CUDA graph."""
        return Cost.of(self.encode).eager_ms + Cost.of(self.refine).eager_ms


class Recorder(TorchDispatchMode):
    """Records the operations that start kernels.

    Attributes:
        operations (list[Operation]): In their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            out = _in_layout_of_cudnn(out, *args[:2])
        elif func is torch.ops.aten.convolution_backward.default:
            *gradients, bias = out
            gradients = (
                None if x is None else _in_layout_of_cudnn(x, *args[1:3])
                for x in gradients
            )
            out = (*gradients, bias)
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        name = str(func.overloadpacket)
        starts = func._schema.is_mutable or _storages(outputs) - _storages(inputs)
        if starts and name.removeprefix('aten.') not in _UNINITIALISED:
            specs = (tuple(map(Spec.of, tensors)) for tensors in (inputs, outputs))
            self.operations.append(Operation(name, *specs))
        return out


def frame_cost(
    network: WindowNetwork,
    height: int,
    width: int,
    dtype: str = 'bf16',
    autocast: bool = False,
    batch_size: int = 1,
) -> FrameCost:
    """Predict what the next frame of a stream costs, or the next batch of frames.

    Args:
        network (WindowNetwork): A module in evaluation mode, on any device; the meta
            device will do. Its inference form is computed, if it has one. It is
            copied, and all its tensors must be parameters or buffers.
        height (int): Rows of the LR frames, H.
        width (int): Their columns, W.
        dtype (str): One of :data:`DTYPES`.
        autocast (bool): Whether weights and frames are float32, and the type is
            autocast's.
        batch_size (int): Frames, and windows, that are computed at once.

    Returns:
        FrameCost: Kernel by kernel.
    """
    strips = Strips.fastest(height, width, GPU)
    stored = torch.float32 if autocast else DTYPES[dtype]
    tensor_cores = dtype != 'fp32'
    make_form = getattr(network, 'inference_form', None)
    network = (
        make_form(GPU_CHANNELS if tensor_cores else 1)
        if make_form and not autocast
        else copy.deepcopy(network)
    )
    with without_gpu(DTYPES[dtype] if autocast else None):
        to_gpu(network, stored)
        frames = torch.empty(batch_size, 3, height, width, dtype=stored)
        find_kernels(frames)  # starts some when it is first called
        with LiveBytes() as tensors:
            stream = []
            while len(stream) < network.num_frames + batch_size - 1:
                encoded, encode = record(lambda: network.encode(frames, strips))
                stream += split_batch(encoded, batch_size)
            windows = [stream[i : i + network.num_frames] for i in range(batch_size)]
            del encoded
            _, refine = record(lambda: network.refine(stack_windows(windows), strips))
    tf32 = dtype == 'tf32'
    parts = (list(kernels(part, tf32)) for part in (encode, refine))
    return FrameCost(*parts, tensors.peak)


@contextmanager
def without_gpu(autocast_dtype: torch.dtype | None = None) -> Iterator[None]:
    """Create tensors on a GPU that is not there; they have no data.

    Args:
        autocast_dtype (torch.dtype, optional): Type of autocast, if it is on.
    """
    # torch.autocast itself would see that there is no GPU, and warn.
    before = torch.is_autocast_enabled('cuda'), torch.get_autocast_dtype('cuda')
    torch.set_autocast_enabled('cuda', autocast_dtype is not None)
    torch.set_autocast_dtype('cuda', autocast_dtype or before[1])
    try:
        # cuDNN's warp cannot be followed without computing it.
        cudnn = torch.backends.cudnn.flags(enabled=False)
        with cudnn, FakeTensorMode(), GPU, torch.no_grad():
            yield
    finally:
        torch.set_autocast_enabled('cuda', before[0])
        torch.set_autocast_dtype('cuda', before[1])
        torch.clear_autocast_cache()


def to_gpu(network: nn.Module, dtype: torch.dtype) -> None:
    """Replace all tensors of a network, under :func:`without_gpu`.

    :meth:`torch.nn.Module.to` cannot do it.

    Args:
        network (nn.Module): It may be on any device, the meta device as well.
        dtype (torch.dtype): Of floating-point tensors from then on.
    """

    def moved(x: Tensor) -> Tensor:
        to = dtype if x.is_floating_point() else x.dtype
        return torch.empty_strided(x.shape, x.stride(), dtype=to)

    for module in network.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(moved(weight), False)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = moved(buffer)


def record(call: Callable[[], object]) -> tuple[object, list[Operation]]:
    """Call a function under :func:`without_gpu`.

    Returns:
        tuple: What it returns, and its operations.
    """
    torch.clear_autocast_cache()
    with Recorder() as recorder:
        result = call()
    return result, recorder.operations


def kernels(operations: Iterable[Operation], tf32: bool = False) -> Iterator[Kernel]:
    """The kernels that operations start.

    Args:
        operations (Iterable[Operation]): Recorded ones.
        tf32 (bool): Whether float32 is computed on tensor cores.
    """
    for operation in operations:
        name = operation.name.removeprefix('aten.')
        if name == 'convolution':
            yield from _convolution(operation, tf32)
        elif name in ('mm', 'bmm', 'addmm', 'baddbmm'):
            yield _product(operation, tf32)
        elif name == 'native_layer_norm':
            yield from _layer_norm(operation)
        elif name in ('cat', 'stack'):
            yield _cat(operation)
        else:
            yield _moving(operation, name)


def _convolution(operation: Operation, tf32: bool) -> Iterator[Kernel]:
    """cuDNN's kernel, and those that prepare its operands and add its bias."""
    x, weight, *bias = operation.inputs
    (out,) = operation.outputs
    for operand in (x, weight):
        if not operand.contiguous(out.channels_last):
            yield _moving_kernel('copy', 2 * operand.bytes)
    flops = 2 * prod(weight.shape[1:]) * prod(out.shape)
    moved = x.bytes + weight.bytes + out.bytes
    if weight.shape[1] == 1 and x.shape[1] > 1:
        yield _moving_kernel('depth-wise', moved, DEPTHWISE_GBS, flops)
    else:
        precision = _precision(x, tf32)
        if precision != 'fp32':
            yield from _preparations(x, weight, out)
        computing = flops * _waste(x, weight) / _conv_rate(x, weight, precision)
        ms = max(computing, moved / COPY_GBS) / 1e6 + KERNEL_US / 1e3
        kind = 'convolution 1x1' if _is_pointwise(weight) else 'convolution'
        yield Kernel(kind, moved, flops, ms)
    if bias:
        yield _moving_kernel('elementwise', 2 * out.bytes)


def _preparations(x: Spec, weight: Spec, out: Spec) -> Iterator[Kernel]:
    """What tensor cores need before and after a convolution."""
    if not out.channels_last:
        for image in (x, out):
            yield _moving_kernel('layout', 2 * image.bytes)
    elif not _is_pointwise(weight):
        # Input and weight, and the output; their bytes are in the convolution's rate.
        unaligned_in, unaligned_out = _unaligned(x, weight)
        for _ in range(2 * unaligned_in + unaligned_out):
            yield _moving_kernel('padding', 0)


def _conv_rate(x: Spec, weight: Spec, precision: str) -> float:
    """GFLOP/s of a convolution."""
    rates = CONV_TFLOPS[precision]
    if any(_unaligned(x, weight)):
        rate = rates['unaligned_1x1' if _is_pointwise(weight) else 'unaligned']
    else:
        full = x.shape[1] % 128 == weight.shape[0] % 128 == 0
        rate = rates['full' if full else 'aligned']
    return rate * 1e3


def _waste(x: Spec, weight: Spec) -> float:
    """Ratio of the output channels that are computed to those there are."""
    if any(_unaligned(x, weight)):
        return 1  # in the rate
    outputs = weight.shape[0]
    return ceil(outputs / CONV_OUTPUTS) * CONV_OUTPUTS / outputs


def _unaligned(x: Spec, weight: Spec) -> tuple[bool, bool]:
    """Whether the channels of input and output are padded."""
    unaligned_in, unaligned_out = (
        channels * x.element_bytes % ALIGNED_BYTES > 0
        for channels in (x.shape[1], weight.shape[0])
    )
    return unaligned_in, unaligned_out


def _is_pointwise(weight: Spec) -> bool:
    return prod(weight.shape[2:]) == 1


def _product(operation: Operation, tf32: bool) -> Kernel:
    """A product of matrices, or a batch of them."""
    a, b = (x for x in operation.inputs[-2:])
    (out,) = operation.outputs
    *batch, rows, inner = a.shape
    columns = b.shape[-1]
    moved = sum(x.bytes for x in (*operation.inputs, out))
    tiles = prod(batch) * ceil(rows / PRODUCT_TILE) * ceil(columns / PRODUCT_TILE)
    steps = ceil(tiles / RESIDENT_TILES) * inner
    flops = 2 * inner * prod(out.shape)
    precision = _precision(a, tf32)
    computing = steps * PRODUCT_NS[precision] / 1e6
    rows_in_memory = (x.shape[x.fastest] * x.element_bytes for x in (a, b))
    if any(length % ALIGNED_BYTES for length in rows_in_memory):
        rate = CONV_TFLOPS[precision]['unaligned_1x1']
        computing = max(computing, flops / rate / 1e9)
    ms = max(computing, moved / COPY_GBS / 1e6) + KERNEL_US / 1e3
    return Kernel('matrix product', moved, flops, ms)


def _layer_norm(operation: Operation) -> Iterator[Kernel]:
    x, (out, mean, *_) = operation.inputs[0], operation.outputs
    rows = prod(mean.shape)
    if prod(x.shape) // rows % 4:
        ms = (rows * MOMENTS_NS / 1e3 + KERNEL_US) / 1e3
        yield Kernel('layer norm', x.bytes, 0, ms)
    yield _moving_kernel('layer norm', x.bytes + out.bytes, LAYER_NORM_GBS)


def _cat(operation: Operation) -> Kernel:
    (out,) = operation.outputs
    kernel = _moving_kernel('cat', 2 * out.bytes)
    if all(x.contiguous(x.channels_last) for x in operation.inputs):
        return kernel
    return kernel._replace(ms=max(kernel.ms, STRIDED_CAT_US / 1e3))


def _moving(operation: Operation, name: str) -> Kernel:
    """A kernel that only takes the time of its memory."""
    inputs, outputs = operation.inputs, operation.outputs
    if name == 'copy_':
        inputs = inputs[1:]
    moved = sum(x.bytes for x in (*inputs, *outputs))
    if name == 'fmanet_mm.dense_layer':
        # Of each input it reads as many channels as it writes.
        moved = (len(inputs) + 1) * outputs[0].bytes
    if name in _COPIES:
        transposes = inputs[-1].fastest != outputs[0].fastest
        return _moving_kernel('copy', moved, TRANSPOSE_GBS if transposes else COPY_GBS)
    fused = _FUSED.get(name.removeprefix('fmanet_mm.'))
    if fused:
        flops = 2 * 9 * prod(inputs[0].shape) if fused == 'depth-wise' else 0
        return _moving_kernel(fused, moved, FUSED_GBS, flops)
    if name.startswith(('grid_sampler', 'fmanet_mm.warp')):
        return _moving_kernel('grid sample', moved, GRID_SAMPLE_GBS)
    return _moving_kernel('elementwise', moved)


def _moving_kernel(
    kind: str, moved: int, rate: float = COPY_GBS, flops: int = 0
) -> Kernel:
    return Kernel(kind, moved, flops, moved / rate / 1e6 + KERNEL_US / 1e3)


def _precision(x: Spec, tf32: bool) -> str:
    if x.dtype in ('float16', 'bfloat16'):
        return 'half'
    return 'tf32' if tf32 else 'fp32'


def _in_layout_of_cudnn(out: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Lay the result of a convolution out as cuDNN does, not as a CPU would."""
    if out.dim() != 4:
        return out.contiguous()
    last = Spec.of(x).channels_last or Spec.of(weight).channels_last
    return out.contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format
    )


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _storages(tensors: Iterable[Tensor]) -> set[int]:
    return {x.untyped_storage()._cdata for x in tensors}


def table(cost: FrameCost) -> str:
    """Costs of a frame by kind of kernel, and predicted times, as text."""
    lines = []
    for part, started in zip(('encode', 'refine'), cost[:2], strict=True):
        by_kind = defaultdict(list)
        for kernel in started:
            by_kind[kernel.kind].append(kernel)
        rows = {kind: Cost.of(group) for kind, group in by_kind.items()}
        rows = dict(sorted(rows.items(), key=lambda row: -row[1].device_ms))
        rows['all'] = Cost.of(started)
        lines.append(f'{part:16} launches       GB    GFLOP       ms')
        for kind, sums in rows.items():
            lines.append(
                f'  {kind:14} {sums.launches:8,} {sums.bytes / 1e9:8.2f} '
                f'{sums.flops / 1e9:8.0f} {sums.device_ms:8.2f}'
            )
        lines.append(f'  launching takes {sums.launch_ms:.1f} ms')
    total = cost.total
    lines.append(
        f'frame: {total.launches:,} launches, {total.bytes / 1e9:.1f} GB, '
        f'{total.flops / 1e9:,.0f} GFLOP; {cost.eager_ms:.1f} ms, '
        f'{total.device_ms:.1f} ms in a CUDA graph; tensors of '
        f'{cost.tensor_bytes / 2**30:.2f} GiB without'
    )
    return '\n'.join(lines)


def main() -> None:
    """Print what a frame of the package's network costs, or a training step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--size',
        type=frame_size,
        default=(180, 320),
        metavar='HxW',
        help='size of LR frames, or of patches (default: 180x320)',
    )
    parser.add_argument(
        '--dtype', choices=DTYPES, default='bf16', help='(default: bf16)'
    )
    parser.add_argument(
        '--autocast', action='store_true', help='keep weights and frames in float32'
    )
    parser.add_argument(
        '--batch',
        type=int,
        default=1,
        metavar='FRAMES',
        help='frames that are computed at once (default: 1)',
    )
    parser.add_argument(
        '--training',
        type=int,
        metavar='WINDOWS',
        help='predict a training step with this batch size instead, of all variants',
    )
    args = parser.parse_args()
    if args.training:
        # Needs this module.
        import training_cost

        if args.dtype not in training_cost.DTYPES:
            parser.error(training_cost.NO_FP16)
        task = Task('training', args.training, *args.size)
        print(training_cost.table(task, args.dtype))
        return
    network = build_package(False, torch.device('meta')).eval()
    cost = frame_cost(network, *args.size, args.dtype, args.autocast, args.batch)
    print(table(cost))
    if args.batch > 1:
        eager_ms, device_ms = cost.eager_ms, cost.total.device_ms
        print(
            f'a frame of the batch: {eager_ms / args.batch:.1f} ms, '
            f'{device_ms / args.batch:.1f} ms in a CUDA graph'
        )


if __name__ == '__main__':
    main()
