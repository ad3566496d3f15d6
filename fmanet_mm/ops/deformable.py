"""Modulated deformable convolution (DCNv2, arXiv 1811.11168) in plain PyTorch."""

import torch.nn.functional as F
from torch import Tensor

from .precision import raised_precision
from .warp import flow_warp, split_groups


def modulated_deform_conv(
    x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Convolve with taps that are moved and weighed, with zeros outside.

    The output has the size of the input. Each tap is a warp and a 1x1 convolution, so
    no more than one tap of the input is in memory at a time. Equals torchvision's
    ``deform_conv2d``, whose compiled code this package does without.

    Args:
        x (Tensor): (N, C, H, W).
        offset (Tensor): What moves the k*k taps, in pixels, y then x, for each of G
            groups of channels: (N, G, k*k, 2, H, W).
        mask (Tensor): Weights of the taps, (N, G, k*k, H, W).
        weight (Tensor): (C_out, C, k, k); k is odd.
        bias (Tensor): (C_out,).

    Returns:
        Tensor: (N, C_out, H, W), at least float32.
    """
    size = weight.size(-1)
    with raised_precision(x, offset, mask, weight, bias) as tensors:
        x, offset, mask, weight, bias = tensors
        groups = split_groups(x, offset.size(1))
        out = bias.view(-1, 1, 1)
        for tap in range(size**2):
            row, column = (n - size // 2 for n in divmod(tap, size))
            flow = offset[:, :, tap].flip(2).flatten(0, 1)
            flow = flow + flow.new_tensor((column, row)).view(2, 1, 1)
            sampled = flow_warp(groups, flow).view_as(groups)
            weighed = sampled * mask[:, :, tap].flatten(0, 1).unsqueeze(1)
            kernel = weight.flatten(2)[:, :, tap, None, None]
            out = out + F.conv2d(weighed.view(x.shape), kernel)
        return out
