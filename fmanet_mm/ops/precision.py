"""Computing in at least float32 where half precision loses too much."""

from contextlib import AbstractContextManager, contextmanager, nullcontext

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
    with without_autocast(tensors[0].device.type):
        yield tuple(map(at_least_float32, tensors))


def without_autocast(device: str) -> AbstractContextManager:
    """Compute with the types that tensors have.

    Args:
        device (str): Type of their device.
    """
    if autocast_type(device) is None:
        return nullcontext()
    return torch.autocast(device, enabled=False)


def autocast_type(device: str) -> torch.dtype | None:
    """The type of autocast on a type of device; None if it is off."""
    # The meta device, where only shapes are followed, has no autocast.
    if device == 'meta' or not torch.is_autocast_enabled(device):
        return None
    return torch.get_autocast_dtype(device)


def is_half(x: Tensor) -> bool:
    """Whether a tensor is of half precision, float16 or bfloat16."""
    return x.dtype in (torch.float16, torch.bfloat16)


def at_least_float32(x: Tensor) -> Tensor:
    """Raise half precision to float32, as for sums of many terms."""
    return x.float() if is_half(x) else x
