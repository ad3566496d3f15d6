"""1x1 convolutions that keep less for their gradients than autograd would.

What they read is made from tensors that are kept anyway, by an operation that is cheap
to repeat when the gradients are computed.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .precision import without_autocast


def conv_concatenated(
    parts: list[Tensor], weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Convolve a concatenation, which is not kept.

    Args:
        parts (list[Tensor]): Each (N, C_i, H, W), of the same type.
        weight (Tensor): (C_out, sum of C_i, 1, 1).
        bias (Tensor, optional): (C_out,).

    Returns:
        Tensor: (N, C_out, H, W), of the parts' type.
    """
    dtype = parts[0].dtype
    bias = None if bias is None else bias.to(dtype)
    return _ConvConcatenated.apply(*parts, weight.to(dtype), bias)


class _ConvConcatenated(torch.autograd.Function):
    @staticmethod
    def forward(ctx, *tensors):
        *parts, weight, bias = tensors
        ctx.save_for_backward(*parts, weight)
        ctx.bias_size = None if bias is None else bias.shape
        with without_autocast(weight.device.type):
            return F.conv2d(torch.cat(parts, dim=1), weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        *parts, weight = ctx.saved_tensors
        of_input, of_weight, of_bias = conv1x1_gradients(
            grad, torch.cat(parts, dim=1), weight, ctx.bias_size
        )
        of_parts = of_input.split([part.size(1) for part in parts], dim=1)
        return *of_parts, of_weight, of_bias


def conv1x1_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, bias_size: torch.Size | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of a 1x1 convolution.

    Args:
        grad (Tensor): Of its result, (N, C_out, H, W).
        x (Tensor): Its input, (N, C, H, W).
        weight (Tensor): (C_out, C, 1, 1).
        bias_size (torch.Size, optional): Of the bias, if it has one.

    Returns:
        tuple[Tensor]: Of input, weight and bias.
    """
    return torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        bias_size,
        (1, 1),
        (0, 0),
        (1, 1),
        False,
        (0, 0),
        1,
        (True, True, bias_size is not None),
    )
