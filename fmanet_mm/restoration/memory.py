"""How high strips may be for a video's frames to fit into memory."""

import copy
from dataclasses import replace
from functools import partial

import psutil
import torch

from ..ops import strips
from ..ops.live_bytes import LiveBytes
from ..models.fmanet.fmanet import FMANet
from ..models.fmanet.refinement_net import stack_window

USABLE_PART = 0.8
"""Of free memory; the rest is for what operations allocate for themselves."""

MIN_STRIP_ROWS = 8


def streaming_peak_bytes(
    model: FMANet,
    height: int,
    width: int,
    strip_rows: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> int:
    """The most bytes of tensors alive while a frame of a video is restored.

    Those are the features of T frames, which are kept, the output, and what it takes
    to encode a frame and refine a window. Found by following the network without
    computing it, weights not counted. Of many strips the first two tell: the second
    has surroundings above and below, and no other takes more.

    Args:
        model (FMANet): A model of stage 2.
        height (int): Height of the LR frames.
        width (int): Their width.
        strip_rows (int, optional): See :func:`~fmanet_mm.ops.strips`.
        dtype (torch.dtype): Of the features; under autocast, autocast's.

    Returns:
        int: Bytes.
    """
    net_d, net_r = (
        copy.deepcopy(net).to(device='meta', dtype=dtype)
        for net in (model.net_d, model.net_r)
    )
    empty = partial(
        torch.empty, device='meta', dtype=dtype, memory_format=torch.channels_last
    )
    with torch.no_grad(), LiveBytes() as tensors, strips(strip_rows, at_most=2):
        kept = [
            [
                [empty(1, net.channels, height, width) for _ in range(net.num_levels)]
                for _ in range(model.num_frames - 1)
            ]
            for net in (net_d, net_r)
        ]
        image = empty(1, 3, height, width)
        kept[0].append(net_d.encode(image))
        kept[1].append(net_r.encode(image, kept[0][-1][-1]))
        window = torch.stack([image] * model.num_frames, dim=1)
        degradation = net_d.refine(stack_window(kept[0]))
        degradation = replace(degradation, feature=None)
        net_r.refine(window, stack_window(kept[1]), degradation)
    return tensors.peak


def choose_strip_rows(
    model: FMANet,
    height: int,
    width: int,
    budget_bytes: float,
    dtype: torch.dtype = torch.float32,
    strip_rows: int | None = None,
) -> int | None:
    """The height of strips with which a video's frames fit into a budget.

    Args:
        model (FMANet): A model of stage 2.
        height (int): Height of the LR frames.
        width (int): Their width.
        budget_bytes (float): What tensors may take; see :func:`free_bytes`.
        dtype (torch.dtype): Of the features; under autocast, autocast's.
        strip_rows (int, optional): Largest height to take; None: the whole frame.

    Returns:
        int | None: ``strip_rows`` if that fits, else halved as often as it takes; if
        nothing fits, the smallest height there is.
    """
    rows = strip_rows
    while streaming_peak_bytes(model, height, width, rows, dtype) > budget_bytes:
        smaller = halve_strip_rows(height, rows)
        if smaller is None:
            break
        rows = smaller
    return rows


def halve_strip_rows(height: int, strip_rows: int | None) -> int | None:
    """The next smaller height of strips to try when memory ran out.

    Returns:
        int | None: None if the strips are as small as they may be.
    """
    rows = -(-(strip_rows or height) // 2)
    return rows if rows >= MIN_STRIP_ROWS else None


def free_bytes(device: torch.device) -> int:
    """Free memory of a device that tensors may take, in bytes."""
    if device.type == 'cuda':
        free = torch.cuda.mem_get_info(device)[0]
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(
            device
        )
        return int(USABLE_PART * (free + cached))
    return int(USABLE_PART * psutil.virtual_memory().available)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a failure means that an allocation did not fit."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and 'DefaultCPUAllocator' in str(error)
    )
