"""Fused kernels for GPUs, in Triton.

Each is an operation of torch of its own, so that graphs and the cost model can follow
it, and equals the operations of torch that its docstring names but for rounding.
Nothing here is imported unless Triton is installed.
"""

import torch

from .attention import WIDEST_HEAD, channel_mixing, channel_sums
from .convolutions import depthwise, gated_depthwise
from .elementwise import activated_sum, dense_layer, normalise
from .fusion import fuse_channels
from .upsampling import dynamic_upsample
from .warp import warp_channels

__all__ = [
    'WIDEST_HEAD',
    'activated_sum',
    'channel_mixing',
    'channel_sums',
    'dense_layer',
    'depthwise',
    'dynamic_upsample',
    'fuse_channels',
    'gated_depthwise',
    'normalise',
    'try_kernels',
    'warp_channels',
]


def try_kernels(device: torch.device) -> None:
    """Compile and start those that ask most of Triton, on a few numbers."""
    x = torch.ones(1, 2, 1, 1, device=device, dtype=torch.float16)
    gated_depthwise(x, x.new_ones(9, 2))
    one = x.new_ones(1, 1, 1)
    channel_mixing(channel_sums(x, x, 1), one, x.new_ones(2, 2), 2, 1e-12)
    fuse_channels([x], x.new_ones(1, 2), None, None)
