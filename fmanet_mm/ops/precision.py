"""Computing in at least float32 where half precision loses too much."""

from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor


@contextmanager
def raised_precision(*tensors: Tensor):
    """Leave autocast and return the tensors in at least float32.

    Warps, softmax and dynamic filters lose too much in half precision: a
    coordinate of a 1280 pixel wide image has no sub-pixel digits in bfloat16.

    Yields:
        tuple[Tensor]: The tensors, half precision raised to float32; float32
        and float64 untouched.
    """
    device = tensors[0].device.type
    # The meta device, where only shapes are followed, has no autocast.
    autocast = device != 'meta' and torch.is_autocast_enabled(device)
    with torch.autocast(device, enabled=False) if autocast else nullcontext():
        yield tuple(map(at_least_float32, tensors))


def is_half(x: Tensor) -> bool:
    """Whether a tensor is of half precision, float16 or bfloat16."""
    return x.dtype in (torch.float16, torch.bfloat16)


def at_least_float32(x: Tensor) -> Tensor:
    """Raise half precision to float32, as for sums of many terms."""
    return x.float() if is_half(x) else x
