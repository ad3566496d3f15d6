"""The time that a GPU would take for a training step, predicted without one.

    python benchmarks/cost_model.py --training 8 --size 64x64 --dtype bf16

The step is that of ``benchmark.py``: forward with all losses, backward, and Adam. Its
operations are recorded and priced like those of a frame, see ``cost_model.py``. No
kernel that computes gradients has been measured; these are assumptions:

- Either gradient of a convolution takes as long as a convolution of the same operands.
  A depth-wise one takes the time of its memory, as forward.
- The gradients of a layer norm take the time of their memory and, as its moments do,
  that of a block of threads for each row.
- A gradient of grid sampling adds every value up in four places in memory.

The rates are those of large frames. What a layer writes for 8 windows of 64x64, 6 MB,
stays in the cache of a large GPU: the device may take less time than is predicted.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from math import prod
from typing import NamedTuple
from unittest.mock import patch

import torch
from calls import TrainingStep
from cases import VARIANTS, Case, Task
from cost_model import (
    COPY_GBS,
    GPU,
    GRID_SAMPLE_GBS,
    KERNEL_US,
    LAYER_NORM_GBS,
    MOMENTS_NS,
    Cost,
    Kernel,
    Operation,
    Spec,
    kernels,
    record,
)
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import Node

from fmanet_mm.ops import trained
from fmanet_mm.ops.live_bytes import LiveBytes

ADAM_TENSORS = 36
"""Weights that one launch of the fused Adam updates at most."""

ADAM_CHUNKS = 320
"""Chunks of weights that one launch of it updates at most."""

CHUNK = 65_536
"""Elements of a chunk."""

DTYPES = ('fp32', 'tf32', 'bf16')
"""Types that steps are predicted in."""

NO_FP16 = 'steps in fp16 look at their gradients, which have no values here; use bf16'
"""Why not in another."""

_SCATTERS = ('slice_backward', 'select_backward', 'diagonal_backward')
"""Gradients of a part of a tensor: zeros, into which the part's is written."""


class StepCost(NamedTuple):
    """What a training step costs.

    Attributes:
        kernels (list[Kernel]): Kernel by kernel.
        tensor_bytes (int): Most bytes of tensors alive at once, without weights, the
            optimizer's state and the input.
    """

    kernels: list[Kernel]
    tensor_bytes: int

    @property
    def total(self) -> Cost:
        """Of all kernels."""
        return Cost.of(self.kernels)


def step_cost(task: Task, case: Case) -> StepCost:
    """Predict what a training step costs.

    Args:
        task (Task): Batch and size.
        case (Case): Variant and type, one of :data:`DTYPES`.
    """
    with gpu_with_gradients():
        trained.has_kernels(torch.empty(1))  # starts some when it is first called
        step = TrainingStep(task, case, GPU)
        step.initialise_optimizer()
        with LiveBytes() as tensors:
            _, operations = record(step)
    return StepCost(list(step_kernels(operations, case.dtype == 'tf32')), tensors.peak)


@contextmanager
def gpu_with_gradients() -> Iterator[None]:
    """Create tensors on a GPU that is not there, and differentiate on it.

    Autograd's engine and autocast would look for the GPU. So gradients are computed by
    calling the nodes of the graph one by one, and autocast is not let look.
    """
    with ExitStack() as stack:
        for context in (
            # cuDNN's warp cannot be followed without computing it.
            torch.backends.cudnn.flags(enabled=False),
            FakeTensorMode(),
            GPU,
            patch('torch.cuda.amp.common.amp_definitely_not_available', lambda: False),
            patch('torch.cuda.is_bf16_supported', lambda *_: True),
            patch(
                'torch.autograd.backward', lambda loss, *_, **__: differentiate(loss)
            ),
            # Of checkpoints: all belong to one call of backward.
            patch('torch._C._current_graph_task_id', lambda: 0),
        ):
            stack.enter_context(context)
        yield


def differentiate(loss: Tensor) -> None:
    """Compute the gradients of all weights, as autograd's engine does.

    Args:
        loss (Tensor): Detached by it.
    """
    root = loss.grad_fn
    missing = _count_uses(root)
    received = {_key(root): {0: torch.ones_like(loss)}}
    ready = [(*_key(root), root)]
    # From here on, what a node has saved lives until it was called.
    loss.detach_()
    del root
    with torch.no_grad():
        while ready:
            node = heapq.heappop(ready)[-1]
            given = received.pop(_key(node), {})
            if hasattr(node, 'variable'):
                _accumulate(node.variable, given.get(0))
                continue
            for gradient, (target, index) in zip(
                _call(node, given), node.next_functions, strict=True
            ):
                if target is None:
                    continue
                key = _key(target)
                if gradient is not None:
                    sums = received.setdefault(key, {})
                    gradient = _fitted(gradient, target._input_metadata[index])
                    sums[index] = sums[index] + gradient if index in sums else gradient
                missing[key] -= 1
                if not missing[key]:
                    heapq.heappush(ready, (*key, target))


def _count_uses(root: Node) -> dict[tuple[int, int], int]:
    """How many gradients each node gets."""
    uses, nodes = defaultdict(int), [root]
    while nodes:
        for target, _ in nodes.pop().next_functions:
            if target is not None:
                uses[_key(target)] += 1
                if uses[_key(target)] == 1:
                    nodes.append(target)
    return uses


def _key(node: Node) -> tuple[int, int]:
    """Identifies a node, and sorts those first that the engine calls first."""
    if hasattr(node, 'variable'):
        return -1, id(node.variable)
    return 0, -node._sequence_nr()


def _call(node: Node, given: dict[int, Tensor]) -> tuple[Tensor | None, ...]:
    if not given:
        return (None,) * len(node.next_functions)
    gradients = [given.get(i) for i in range(len(node._input_metadata))]
    # Functions written in Python have a method for it, which also returns the
    # gradients, None, of arguments that are no tensors and come last.
    out = getattr(node, 'apply', node)(*gradients)
    return (out if isinstance(out, tuple) else (out,))[: len(node.next_functions)]


def _fitted(gradient: Tensor, metadata) -> Tensor:
    """Undo broadcasts and conversions, which are no nodes of their own."""
    if gradient.shape != metadata.shape:
        gradient = gradient.sum_to_size(metadata.shape)
    return gradient.to(metadata.dtype)


def _accumulate(weight: Tensor, gradient: Tensor | None) -> None:
    """Keep a gradient, in a copy if it is laid out in another way than its weight."""
    if gradient is None:
        return
    if weight.grad is not None:
        weight.grad += gradient
        return
    of_weight, of_gradient = (
        [stride for stride, n in zip(x.stride(), x.shape, strict=True) if n > 1]
        for x in (weight, gradient)
    )
    if of_weight != of_gradient:
        gradient = torch.empty_like(weight).copy_(gradient)
    weight.grad = gradient


def step_kernels(operations: Iterable[Operation], tf32: bool) -> Iterator[Kernel]:
    """The kernels that the operations of a step start.

    Args:
        operations (Iterable[Operation]): Recorded ones.
        tf32 (bool): Whether float32 is computed on tensor cores.
    """
    for operation in operations:
        name = operation.name.removeprefix('aten.')
        if name == 'convolution_backward':
            yield from _convolution_gradients(operation, tf32)
        elif name == 'native_layer_norm_backward':
            yield from _layer_norm_gradients(operation)
        elif name in ('grid_sampler_2d_backward', 'fmanet_mm.warp_channels_backward'):
            yield from _warp_gradients(operation)
        elif name in _SCATTERS:
            (whole,), part = operation.outputs, operation.inputs[0]
            yield _moving('elementwise', whole.bytes)
            yield _moving('copy', 2 * part.bytes)
        elif name == '_fused_adam_':
            yield from _adam(operation)
        else:
            yield from kernels([operation], tf32)


def _convolution_gradients(operation: Operation, tf32: bool) -> Iterator[Kernel]:
    """Of input and weight, each as a convolution, and of the bias as a sum."""
    grad, x, weight = operation.inputs[:3]
    of_x = [out for out in operation.outputs if out.shape == x.shape]
    of_weight = [out for out in operation.outputs if out.shape == weight.shape]
    of_bias = [out for out in operation.outputs if len(out.shape) == 1]
    channels_last = x.channels_last or weight.channels_last
    used = (grad, *(x for _ in of_weight), *(weight for _ in of_x))
    for operand in used:
        if not operand.contiguous(channels_last):
            yield _moving('copy', 2 * operand.bytes)
    grad, x, weight = (_dense(operand, channels_last) for operand in (grad, x, weight))
    for out in of_x:
        depthwise = weight.shape[1] == 1 and x.shape[1] > 1
        back = weight if depthwise else _dense(_transposed(weight), channels_last)
        yield from _convolve((grad, back), out, tf32)
    for _ in of_weight:
        yield from _convolve((x, weight), grad, tf32)
    for _ in of_bias:
        yield _moving('elementwise', grad.bytes)


def _convolve(inputs: tuple[Spec, Spec], out: Spec, tf32: bool) -> Iterator[Kernel]:
    return kernels([Operation('aten.convolution', inputs, (out,))], tf32)


def _dense(x: Spec, channels_last: bool) -> Spec:
    order = (0, *range(2, len(x.shape)), 1) if channels_last else range(len(x.shape))
    strides, stride = [0] * len(x.shape), 1
    for dim in reversed(order):
        strides[dim] = stride
        stride *= x.shape[dim]
    return x._replace(strides=tuple(strides))


def _transposed(weight: Spec) -> Spec:
    out_channels, in_channels, *size = weight.shape
    return weight._replace(shape=(in_channels, out_channels, *size))


def _layer_norm_gradients(operation: Operation) -> Iterator[Kernel]:
    grad, x, mean, *_ = operation.inputs
    out = operation.outputs[0]
    kernel = _moving('layer norm', grad.bytes + x.bytes + out.bytes, LAYER_NORM_GBS)
    rows = prod(mean.shape)
    if prod(x.shape) // rows % 4:
        kernel = kernel._replace(ms=kernel.ms + rows * MOMENTS_NS / 1e6)
    yield kernel
    if len(operation.outputs) > 1:
        yield _moving('layer norm', grad.bytes + x.bytes, LAYER_NORM_GBS)


def _warp_gradients(operation: Operation) -> Iterator[Kernel]:
    grad, x, positions = operation.inputs
    values = prod(grad.shape)
    if operation.outputs[0].shape == x.shape:
        yield _moving('elementwise', 4 * prod(x.shape))  # zeros
        values *= 1 + 4 * 2  # read and write the sum
    moved = grad.bytes + x.bytes + 2 * positions.bytes + 4 * values
    yield _moving('grid sample', moved, GRID_SAMPLE_GBS)


def _adam(operation: Operation) -> Iterator[Kernel]:
    """The launches of the fused Adam: weights, gradients and two moments each."""
    weights = operation.inputs[: len(operation.inputs) // 5]
    tensors = chunks = moved = 0
    for weight in weights:
        tensors += 1
        moved += 7 * weight.bytes
        chunks += -(-prod(weight.shape) // CHUNK)
        if tensors == ADAM_TENSORS or chunks >= ADAM_CHUNKS:
            yield _moving('Adam', moved)
            tensors = chunks = moved = 0
    if tensors:
        yield _moving('Adam', moved)


def _moving(kind: str, moved: int, rate: float = COPY_GBS) -> Kernel:
    return Kernel(kind, moved, 0, moved / rate / 1e6 + KERNEL_US / 1e3)


def table(task: Task, dtype: str) -> str:
    """Predicted costs of the variants of a step side by side, as text.

    Args:
        task (Task): Batch and size.
        dtype (str): One of :data:`DTYPES`.
    """
    costs = {v: step_cost(task, Case(v, dtype)) for v in VARIANTS['training']}
    lines = [
        f'training step, {task}, {dtype}, predicted',
        'variant      launches      GB  GFLOP  eager ms  device ms  tensors GiB  speed',
    ]
    reference = costs['plain'].total.eager_ms
    for variant, cost in costs.items():
        sums = cost.total
        lines.append(
            f'{variant:12} {sums.launches:8,} {sums.bytes / 1e9:7.1f} '
            f'{sums.flops / 1e9:6,.0f} {sums.eager_ms:9.1f} {sums.device_ms:10.1f} '
            f'{cost.tensor_bytes / 2**30:12.2f} {reference / sums.eager_ms:5.2f}x'
        )
    return '\n'.join(lines)
