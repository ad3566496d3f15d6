"""A replacement for mmcv's compiled operators, with nothing compiled.

``mmcv-lite`` is pure Python. It has ``mmcv.ops`` but not ``mmcv._ext``, the compiled
module with the operators, so importing MMagic fails. Of these operators, the networks
of this project use deformable convolutions only, and torchvision has those for the CPU
and for GPUs. :func:`provide_mmcv_ops` puts a module in the place of ``mmcv._ext`` whose
deformable convolutions are torchvision's; any other operator raises an error that says
how to get it. Where mmcv was built with its operators, it does nothing.

The functions have the names, arguments and effects of mmcv's C++ ones: results are
written to tensors that the caller gives, and gradients are added to tensors of zeros.
mmcv and torchvision order offsets alike: groups, then taps, then y before x.
"""

import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable

import torch
import torch.nn.functional as F
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

INSTALL_OPERATORS = (
    'FULL_MMCV=1 bash tools/setup_env.sh builds mmcv with all of its operators; '
    'outside a checkout, install an mmcv>=2.1,<2.2 that was built for your torch'
)

MODULE = 'mmcv._ext'


def provide_mmcv_ops() -> None:
    """Put a module in the place of ``mmcv._ext`` if mmcv was installed without it.

    Neither mmcv nor a compiled ``mmcv._ext`` is imported. May be called any number of
    times.
    """
    if MODULE not in sys.modules and not has_compiled_operators():
        sys.modules[MODULE] = _Operators()


def has_compiled_operators() -> bool:
    """Whether the installed mmcv was built with its operators.

    Returns:
        bool: False if it was not, or if mmcv is not installed.
    """
    mmcv = importlib.util.find_spec('mmcv')
    if mmcv is None or mmcv.submodule_search_locations is None:
        return False
    # Not importlib.util.find_spec(MODULE), which would import mmcv.
    found = importlib.machinery.PathFinder.find_spec(
        MODULE, list(mmcv.submodule_search_locations)
    )
    return found is not None


class _Operators(types.ModuleType):
    """The module in the place of ``mmcv._ext``."""

    def __init__(self) -> None:
        super().__init__(MODULE, 'Deformable convolutions by torchvision.')
        # Without a loader: mmengine and mmcv take it that operators are not compiled.
        self.__spec__ = importlib.machinery.ModuleSpec(MODULE, None)
        for function in (
            deform_conv_forward,
            deform_conv_backward_input,
            deform_conv_backward_parameters,
            modulated_deform_conv_forward,
            modulated_deform_conv_backward,
            get_compiler_version,
            get_compiling_cuda_version,
        ):
            setattr(self, function.__name__, function)

    def __getattr__(self, name: str) -> Callable:
        # mmcv.ops looks all of its operators up while it is imported.
        if name.startswith('__'):
            raise AttributeError(f'module {MODULE!r} has no attribute {name!r}')

        def missing(*args, **kwargs):
            raise RuntimeError(
                f'the operator {name} of mmcv was not compiled; {INSTALL_OPERATORS}'
            )

        return missing


def get_compiler_version() -> str:
    """See :func:`mmcv.ops.get_compiler_version`."""
    return 'n/a'


def get_compiling_cuda_version() -> str:
    """See :func:`mmcv.ops.get_compiling_cuda_version`."""
    return 'n/a'


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Deformable convolution (DCN, arXiv 1703.06211) into ``output``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(convolve(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Gradients of :func:`deform_conv_forward` by its input and offsets."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    by_input, by_offset = gradients(
        *(gradOutput, input, weight, offset, None, None, geometry), wanted=(0, 2)
    )
    gradInput.add_(by_input)
    gradOffset.add_(by_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Gradient of :func:`deform_conv_forward` by its weight, times ``scale``."""
    weight = torch.zeros_like(gradWeight)
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    (by_weight,) = gradients(
        *(gradOutput, input, weight, offset, None, None, geometry), wanted=(1,)
    )
    gradWeight.add_(by_weight, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Modulated deformable convolution (DCNv2, arXiv 1811.11168) into ``output``."""
    geometry = (
        *(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w),
        *(group, deformable_group),
    )
    bias_if_any = bias if with_bias else None
    output.copy_(convolve(input, weight, offset, mask, bias_if_any, geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Gradients of :func:`modulated_deform_conv_forward` by all of its inputs."""
    geometry = (
        *(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w),
        *(group, deformable_group),
    )
    given = [grad_input, grad_weight, grad_offset, grad_mask]
    if with_bias:
        given.append(grad_bias)
    computed = gradients(
        *(grad_output, input, weight, offset, mask, bias if with_bias else None),
        geometry,
        wanted=range(len(given)),
    )
    for ours, gradient in zip(given, computed, strict=True):
        ours.add_(gradient)


def convolve(input, weight, offset, mask, bias, geometry) -> Tensor:
    """Deformable convolution by torchvision.

    Args:
        input (Tensor): (N, C, H, W).
        weight (Tensor): (C_out, C / groups, kernel_h, kernel_w).
        offset (Tensor): Two for each tap, y before x, (N, deform_groups * taps * 2,
            rows, columns).
        mask (Tensor | None): Factors of the taps, (N, deform_groups * taps, rows,
            columns).
        bias (Tensor | None): (C_out,).
        geometry (tuple[int, ...]): Stride, padding and dilation, the vertical one
            first, then groups and deform_groups.

    Returns:
        Tensor: (N, C_out, rows, columns), at least float32.
    """
    given = (input, weight, offset, mask, bias)
    input, weight, offset, mask, bias = map(_at_least_float32, given)
    use_mask = mask is not None
    # torchvision expects these for a missing mask or bias.
    if mask is None:
        mask = input.new_zeros(len(input), 1)
    if bias is None:
        bias = input.new_zeros(len(weight))
    return torch.ops.torchvision.deform_conv2d(
        input, weight, offset, mask, bias, *geometry, use_mask
    )


def gradients(grad_output, input, weight, offset, mask, bias, geometry, wanted):
    """Gradients by those of input, weight, offset, mask and bias that are wanted."""
    leaves = [
        None if tensor is None else _at_least_float32(tensor.detach())
        for tensor in (input, weight, offset, mask, bias)
    ]
    by = [leaves[index].requires_grad_() for index in wanted]
    # torchvision's gradients take one core of a CPU, and there ten times as long.
    form = convolve_by_sampling if input.device.type == 'cpu' else convolve
    with torch.enable_grad():
        output = form(*leaves, geometry)
    return torch.autograd.grad(output, by, grad_output.to(output.dtype))


def convolve_by_sampling(input, weight, offset, mask, bias, geometry) -> Tensor:
    """The same as :func:`convolve`, written with ``grid_sample``."""
    *sizes, groups, deform_groups = geometry
    stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w = sizes
    height, width = input.shape[2:]
    kernel_h, kernel_w = weight.shape[2:]
    rows, columns = offset.shape[2:]
    count, taps = len(input), kernel_h * kernel_w

    def axis(kernel, dilation, outputs, stride, pad):
        """Positions that the taps read along one axis, (kernel, outputs)."""
        options = dict(device=offset.device, dtype=offset.dtype)
        taps = torch.arange(kernel, **options) * dilation
        return taps[:, None] + torch.arange(outputs, **options) * stride - pad

    # (N * deform_groups, taps, rows, columns)
    y, x = offset.reshape(-1, taps, 2, rows, columns).unbind(2)
    read_y = axis(kernel_h, dilation_h, rows, stride_h, pad_h)
    read_x = axis(kernel_w, dilation_w, columns, stride_w, pad_w)
    y = y + read_y.repeat_interleave(kernel_w, dim=0)[:, :, None]
    x = x + read_x.repeat(kernel_h, 1)[:, None, :]

    # grid_sample counts from -1 to 1, between the outer borders of the outer pixels.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=4)
    patches = F.grid_sample(
        input.reshape(len(grid), -1, height, width),
        grid.flatten(1, 2),
        align_corners=False,
    ).unflatten(2, (taps, rows))
    if mask is not None:
        patches = patches * mask.reshape(-1, 1, taps, rows, columns)
    patches = patches.reshape(count, groups, -1, rows * columns)
    kernels = weight.reshape(groups, len(weight) // groups, -1)
    output = (kernels @ patches).view(count, -1, rows, columns)
    return output if bias is None else output + bias[:, None, None]


def _at_least_float32(tensor: Tensor | None) -> Tensor | None:
    # As torchvision does under autocast; it has no bfloat16, and no float16 on CPUs.
    if tensor is None or tensor.dtype not in (torch.float16, torch.bfloat16):
        return tensor
    return tensor.float()
