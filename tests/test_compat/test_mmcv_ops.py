"""mmcv's deformable convolutions without its compiled operators."""

import subprocess
import sys

import pytest
import torch

from fmanet_mm.compat import mmcv_ops, prepare_openmmlab

prepare_openmmlab()

from mmcv import ops  # noqa: E402

pytestmark = pytest.mark.skipif(
    mmcv_ops.has_compiled_operators(), reason='mmcv was built with its operators'
)


def sample(image, row, column):
    """Bilinear sample of a (C, H, W) image; zero beyond its borders."""
    height, width = image.shape[1:]
    top, left = int(row.detach().floor()), int(column.detach().floor())
    total = torch.zeros(len(image), dtype=image.dtype)
    for i in (top, top + 1):
        for j in (left, left + 1):
            if 0 <= i < height and 0 <= j < width:
                weight = (1 - (row - i).abs()) * (1 - (column - j).abs())
                total = total + weight * image[:, i, j]
    return total


def reference(x, offset, mask, weight, bias, stride, padding, dilation, deform_groups):
    """Deformable convolution, written as the loops of its definition."""
    count, in_channels = x.shape[:2]
    out_channels, group_channels, kernel_h, kernel_w = weight.shape
    groups = in_channels // group_channels
    rows, columns = offset.shape[2:]
    taps = kernel_h * kernel_w
    offset = offset.view(count, deform_groups, taps, 2, rows, columns)
    mask = mask.view(count, deform_groups, taps, rows, columns)
    width = in_channels // deform_groups
    outputs = []
    for n in range(count):
        for i in range(rows):
            for j in range(columns):
                patch = []
                for tap in range(taps):
                    read = []
                    for g in range(deform_groups):
                        dy, dx = offset[n, g, tap, :, i, j]
                        row = i * stride[0] - padding[0]
                        column = j * stride[1] - padding[1]
                        value = sample(
                            x[n, g * width : (g + 1) * width],
                            row + tap // kernel_w * dilation[0] + dy,
                            column + tap % kernel_w * dilation[1] + dx,
                        )
                        read.append(mask[n, g, tap, i, j] * value)
                    patch.append(torch.cat(read))
                patch = torch.stack(patch, dim=1).view(groups, group_channels, taps)
                kernels = weight.view(groups, -1, group_channels, taps)
                outputs.append(torch.einsum('gct,goct->go', patch, kernels).flatten())
    result = torch.stack(outputs).view(count, rows, columns, out_channels)
    result = result.permute(0, 3, 1, 2)
    return result if bias is None else result + bias[:, None, None]


CASES = {
    'plain': dict(),
    'groups': dict(groups=2),
    'deform_groups': dict(deform_groups=2),
    'both kinds of groups': dict(groups=2, deform_groups=4),
    'stride': dict(stride=2),
    'padding': dict(padding=(2, 0)),
    'dilation': dict(dilation=2, padding=2),
    'all of it': dict(
        groups=2, deform_groups=2, stride=(2, 1), padding=(1, 2), dilation=(1, 2)
    ),
    'integer offsets': dict(integer=True, padding=1),
}


def make_case(groups=1, deform_groups=1, integer=False, kernel=(3, 2), **geometry):
    def pair(name, default):
        value = geometry.get(name, default)
        return value if isinstance(value, tuple) else (value, value)

    stride, padding, dilation = (
        pair('stride', 1),
        pair('padding', 0),
        pair('dilation', 1),
    )
    generator = torch.Generator().manual_seed(5)

    def random(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    x = random(2, 4, 6, 5)
    rows, columns = (
        (x.shape[2 + d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1)
        // stride[d] + 1
        for d in range(2)
    )  # fmt: skip
    taps = kernel[0] * kernel[1]
    offset = 1.5 * random(2, deform_groups * taps * 2, rows, columns)
    if integer:
        offset = offset.round()
    mask = random(2, deform_groups * taps, rows, columns)
    weight = random(6, 4 // groups, *kernel)
    bias = random(6)
    return (x, offset, mask, weight, bias), (stride, padding, dilation), groups


@pytest.mark.parametrize('case', CASES)
@pytest.mark.parametrize('modulated', [False, True])
def test_values_and_gradients(case, modulated):
    options = CASES[case]
    tensors, (stride, padding, dilation), groups = make_case(**options)
    deform_groups = options.get('deform_groups', 1)
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    x, offset, mask, weight, bias = leaves
    if modulated:
        expected = reference(*leaves, stride, padding, dilation, deform_groups)
    else:
        leaves = [x, offset, weight]
        expected = reference(
            *(x, offset, torch.ones_like(mask), weight, None),
            *(stride, padding, dilation, deform_groups),
        )
    grad = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, leaves, grad)

    arguments = (stride, padding, dilation, groups, deform_groups)
    if modulated:
        given = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *arguments)
    else:
        given = ops.deform_conv2d(x, offset, weight, *arguments)
    torch.testing.assert_close(given, expected)
    gradients = torch.autograd.grad(given, leaves, grad)
    for name, ours, theirs in zip('xomwb', gradients, wanted, strict=False):
        if name == 'o' and options.get('integer'):
            continue  # a corner of the bilinear weights: there is no one derivative
        torch.testing.assert_close(ours, theirs)


def test_modulated_without_bias():
    (x, offset, mask, weight, _), (stride, padding, dilation), _ = make_case()
    weight.requires_grad_()
    given = ops.modulated_deform_conv2d(x, offset, mask, weight)
    expected = reference(x, offset, mask, weight, None, stride, padding, dilation, 1)
    torch.testing.assert_close(given, expected)
    (ours,) = torch.autograd.grad(given.sum(), weight)
    (theirs,) = torch.autograd.grad(expected.sum(), weight)
    torch.testing.assert_close(ours, theirs)


def test_packs_start_as_ordinary_convolutions():
    x = torch.randn(2, 4, 7, 6)
    plain = ops.DeformConv2dPack(4, 6, 3, padding=1)
    expected = torch.nn.functional.conv2d(x, plain.weight, padding=1)
    torch.testing.assert_close(plain(x), expected)

    # Its masks are sigmoid(0) then.
    modulated = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
    expected = torch.nn.functional.conv2d(x, modulated.weight, padding=1) / 2
    torch.testing.assert_close(modulated(x), expected)


def test_pack_learns():
    torch.manual_seed(0)
    pack = ops.DeformConv2dPack(3, 3, 3, padding=1)
    pack(torch.randn(2, 3, 6, 6)).square().sum().backward()
    for name, parameter in pack.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_batch_may_be_any_whole_number_of_steps():
    (x, offset, _, weight, _), _, _ = make_case()
    first, second = (
        ops.deform_conv2d(x, offset, weight, 1, 0, 1, 1, 1, False, step)
        for step in (1, 2)
    )
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    tensors, _, _ = make_case()
    tensors = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    given = ops.modulated_deform_conv2d(*tensors)
    assert given.dtype == dtype
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    expected = ops.modulated_deform_conv2d(*exact)
    torch.testing.assert_close(given, expected.to(dtype))
    gradients = torch.autograd.grad(given.sum(), tensors)
    for ours, theirs in zip(
        gradients, torch.autograd.grad(expected.sum(), exact), strict=True
    ):
        torch.testing.assert_close(ours, theirs.to(dtype))


@pytest.mark.parametrize('case', CASES)
def test_sampling_is_the_convolution_of_torchvision(case):
    options = CASES[case]
    (x, offset, mask, weight, bias), geometry, groups = make_case(**options)
    sizes = (*sum(geometry, ()), groups, options.get('deform_groups', 1))
    given, expected = (
        form(x, weight, offset, mask, bias, sizes)
        for form in (mmcv_ops.convolve_by_sampling, mmcv_ops.convolve)
    )
    torch.testing.assert_close(given, expected)


def test_shapes_without_data():
    x, offset, mask = (torch.empty(1, c, 9, 9, device='meta') for c in (4, 18, 9))
    plain, modulated = (
        kind(4, 6, 3, padding=1).to('meta')
        for kind in (ops.DeformConv2d, ops.ModulatedDeformConv2d)
    )
    plain(x, offset).sum().backward()
    assert plain.weight.grad.shape == (6, 4, 3, 3)
    result = modulated(x, offset, mask)
    assert result.is_meta
    assert result.shape == (1, 6, 9, 9)
    result.sum().backward()
    assert modulated.weight.grad.is_meta

    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        pack = ops.ModulatedDeformConv2dPack(4, 6, 3, padding=1)
        result = pack(torch.empty(2, 4, 9, 9))
        assert result.shape == (2, 6, 9, 9)
        result.sum().backward()
        assert pack.weight.grad.shape == (6, 4, 3, 3)


@pytest.mark.parametrize(
    ('name', 'call'),
    [
        ('nms', lambda: ops.nms(torch.rand(2, 4), torch.rand(2), 0.5)),
        ('carafe_naive_forward', lambda: ops.CARAFENaive(1, 1, 2)(
            torch.rand(1, 1, 2, 2), torch.rand(1, 1, 4, 4))),
    ],
)  # fmt: skip
def test_other_operators_say_how_to_get_them(name, call):
    with pytest.raises(RuntimeError, match=f'operator {name} of mmcv.*FULL_MMCV=1'):
        call()


def test_compiled_operators_are_kept(tmp_path, monkeypatch):
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').write_text('raise RuntimeError("imported")')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'mmcv')
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert not mmcv_ops.has_compiled_operators()
    (package / '_ext.py').write_text('raise RuntimeError("imported")')
    mmcv_ops.importlib.invalidate_caches()
    assert mmcv_ops.has_compiled_operators()
    mmcv_ops.provide_mmcv_ops()
    assert 'mmcv._ext' not in sys.modules


def test_nothing_is_taken_for_compiled():
    script = """
from fmanet_mm.compat.mmcv_ops import provide_mmcv_ops
provide_mmcv_ops()
import sys
assert 'mmcv' not in sys.modules
import mmcv.ops
from mmengine.utils.dl_utils import mmcv_full_available
assert not mmcv_full_available()
assert mmcv.ops.get_compiling_cuda_version() == 'n/a'
ours = sys.modules['mmcv._ext']
provide_mmcv_ops()
assert sys.modules['mmcv._ext'] is ours
"""
    subprocess.run([sys.executable, '-W', 'ignore', '-c', script], check=True)
