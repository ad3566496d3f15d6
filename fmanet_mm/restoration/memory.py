"""How high strips may be for a video's frames to fit into memory."""

import copy
from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..ops import WHOLE_FRAMES, Strips
from ..ops.live_bytes import LiveBytes
from ..ops.strips import Strip
from ..utils.host_memory import free_host_bytes
from .batches import split_batch, stack_windows
from .protocol import LevelNetwork, RecurrentNetwork, WindowNetwork

USABLE_PART = 0.8
"""Of free memory; the rest is for what operations allocate for themselves."""

GRAPHED_PIXELS = 400 * 640
"""LR pixels of the largest frames that are computed by CUDA graphs.

For larger ones a GPU needs longer than a CPU needs to start all kernels, as predicted
by ``benchmarks/cost_model.py``; and graphs keep arguments and results of their own,
half as much again as is needed without.
"""


class FirstStrips(Strips):
    """Only the first two strips of a frame.

    The second has surroundings on both sides, which is the worst case. The other rows
    of a result stay uninitialised: for measuring alone.
    """

    def split(
        self, height: int, halo: int, max_rows: int | None = None
    ) -> Sequence[Strip]:
        return super().split(height, halo, max_rows)[:2]


@torch.inference_mode(False)  # in which parts of operations would not be seen
@torch.no_grad()
def streaming_peak_bytes(
    network: WindowNetwork,
    height: int,
    width: int,
    strips: Strips = WHOLE_FRAMES,
    dtype: torch.dtype = torch.float32,
    graphs: bool = False,
    batch_size: int = 1,
) -> int:
    """Most bytes of tensors alive at once while a video is restored.

    Those are encoded frames, which are kept while they are in a window, the output, and
    temporaries. Found by running the network on tensors without data; weights are not
    counted.

    Args:
        network (WindowNetwork): The network.
        height (int): Height of the LR frames.
        width (int): Their width.
        strips (Strips): On which they are computed.
        dtype (torch.dtype): Of the features; under autocast, autocast's.
        graphs (bool): Whether small frames are computed by CUDA graphs, which keep
            encoded frames of their own.
        batch_size (int): Frames, and windows, that are computed at once.

    Returns:
        int: Bytes.
    """
    network = without_data(network, dtype)
    first = FirstStrips(strips.rows)
    num_frames = network.num_frames
    graphs = graphs and is_graphed(height, width, strips)
    # Those of the windows' centres, and those that reach beyond them.
    batches = 1 + 2 * ceil(num_frames // 2 / batch_size)
    with LiveBytes() as tensors:
        frames = []
        for _ in range(batches):
            images = frame_without_data(height, width, dtype, batch_size)
            frames += split_batch(network.encode(images, first), batch_size)
        window = stack_windows([frames[i : i + num_frames] for i in range(batch_size)])
        copies = tree_map(torch.clone, window) if graphs else None
        network.refine(window, first)
        del copies
    return tensors.peak


@torch.no_grad()
def recurrent_peak_bytes(
    network: RecurrentNetwork,
    height: int,
    width: int,
    strips: Strips = WHOLE_FRAMES,
    dtype: torch.dtype = torch.float32,
) -> int:
    """Most bytes of tensors alive at once while a recurrent network restores.

    Those are the states before and after a step, the output, and temporaries; see
    :func:`streaming_peak_bytes`.
    """
    network = without_data(network, dtype)
    first = FirstStrips(strips.rows)
    state = None
    with LiveBytes() as tensors:
        # The second step is the first with a state before it.
        for _ in range(2):
            frame = frame_without_data(height, width, dtype)
            state = network.step(frame, state, first)[1]
    return tensors.peak


def without_data(network: object, dtype: torch.dtype) -> Any:
    """A copy of a network of which only the shapes are followed."""
    network = copy.deepcopy(network)
    if isinstance(network, torch.nn.Module):
        network.to(device='meta', dtype=dtype)
    return network


def frame_without_data(
    height: int, width: int, dtype: torch.dtype, count: int = 1
) -> torch.Tensor:
    """Frames, (N, 3, H, W), of which only the shape is followed."""
    return torch.empty(
        (count, 3, height, width),
        device='meta',
        dtype=dtype,
        memory_format=torch.channels_last,
    )


def is_graphed(height: int, width: int, strips: Strips) -> bool:
    """Whether a GPU computes frames of a size by CUDA graphs."""
    return strips.rows is None and height * width <= GRAPHED_PIXELS


def choose_strips(
    network: WindowNetwork | LevelNetwork | RecurrentNetwork,
    height: int,
    width: int,
    budget_bytes: float,
    dtype: torch.dtype = torch.float32,
    highest: Strips = WHOLE_FRAMES,
    peak_bytes: Callable[..., int] = streaming_peak_bytes,
) -> Strips:
    """Strips with which a video's frames fit into a budget.

    Args:
        network (WindowNetwork | LevelNetwork | RecurrentNetwork): The network.
        height (int): Height of the LR frames.
        width (int): Their width.
        budget_bytes (float): For tensors; see :func:`free_bytes`.
        dtype (torch.dtype): Of the features; under autocast, autocast's.
        highest (Strips): To begin with.
        peak_bytes (Callable): What measures the network's memory,
            :func:`streaming_peak_bytes` or another function of its arguments.

    Returns:
        Strips: ``highest`` if they fit, else halved as often as it takes; if nothing
        fits, the lowest there are.
    """
    strips = highest
    while peak_bytes(network, height, width, strips, dtype) > budget_bytes:
        lower = strips.halved(height)
        if lower is None:
            break
        strips = lower
    return strips


def free_bytes(device: torch.device) -> int:
    """Free memory of a device that tensors may take, in bytes.

    What other processes hold, and limits of containers and of ``ulimit``, count.
    """
    if device.type == 'cuda':
        free = torch.cuda.mem_get_info(device)[0]
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(
            device
        )
        return int(USABLE_PART * (free + cached))
    return int(USABLE_PART * free_host_bytes())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that an allocation did not fit."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and 'DefaultCPUAllocator' in str(error)
    )
