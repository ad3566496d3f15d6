import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fmanet_mm.ops import dynamic_filter, dynamic_filter_reference


def make(kernel_size, stride, groups, dtype=torch.float64, size=(3, 4)):
    generator = torch.Generator().manual_seed(kernel_size * 10 + stride)
    height, width = (stride * (n - 1) + kernel_size for n in size)
    x = torch.randn(2, 3, 2, height, width, generator=generator, dtype=dtype)
    weight = torch.randn(
        2, 3, groups, kernel_size**2, *size, generator=generator, dtype=dtype
    )
    return x, weight


GEOMETRIES = [(3, 1, 4), (5, 1, 2), (4, 2, 1), (5, 3, 1), (8, 4, 1)]


@pytest.mark.parametrize(('kernel_size', 'stride', 'groups'), GEOMETRIES)
def test_lean_form_equals_reference_in_values_and_gradients(
    kernel_size, stride, groups
):
    x, weight = make(kernel_size, stride, groups)
    results = []
    for form in (dynamic_filter_reference, dynamic_filter):
        leaves = [t.clone().requires_grad_() for t in (x, weight)]
        out = form(*leaves, kernel_size, stride)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out.detach(), *(leaf.grad for leaf in leaves)))
    for reference, lean in zip(*results, strict=True):
        torch.testing.assert_close(lean, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(('kernel_size', 'stride', 'groups'), [(3, 1, 2), (4, 2, 1)])
def test_gradcheck(kernel_size, stride, groups):
    x, weight = (
        t[:1].requires_grad_() for t in make(kernel_size, stride, groups, size=(2, 3))
    )
    assert torch.autograd.gradcheck(
        lambda x, w: dynamic_filter(x, w, kernel_size, stride), (x, weight)
    )


def test_each_input_may_need_no_gradient():
    x, weight = make(3, 1, 2)
    full = [t.clone().requires_grad_() for t in (x, weight)]
    dynamic_filter(*full, 3).sum().backward()
    for i in range(2):
        leaves = [x.clone(), weight.clone()]
        leaves[i].requires_grad_()
        dynamic_filter(*leaves, 3).sum().backward()
        torch.testing.assert_close(leaves[i].grad, full[i].grad)
        assert leaves[1 - i].grad is None


def test_one_hot_kernel_samples_one_pixel_of_one_frame():
    x, weight = make(4, 2, 1)
    weight = torch.zeros_like(weight)
    weight[:, 1, :, 2 * 4 + 3] = 1
    out = dynamic_filter(x, weight, 4, 2)
    torch.testing.assert_close(out[:, :, 0], x[:, 1, :, 2::2, 3::2][..., :3, :4])


def test_constant_image_stays_constant_under_kernels_that_sum_to_one():
    x, weight = make(5, 1, 3)
    weight = weight.flatten(1, 3).softmax(1).view_as(weight) * 3
    out = dynamic_filter(torch.full_like(x, 0.3), weight, 5)
    total = weight.sum((1, 3)).unsqueeze(1) * 0.3
    torch.testing.assert_close(out, total.expand_as(out))


def test_equals_a_convolution_when_all_pixels_share_a_kernel():
    x, weight = make(3, 1, 1)
    kernel = weight[:1, :, :, :, :1, :1]
    out = dynamic_filter(x, kernel.expand_as(weight).contiguous(), 3)
    expected = sum(
        F.conv2d(x[:, t].flatten(0, 1)[:, None], kernel[:, t].view(1, 1, 3, 3))
        for t in range(3)
    )
    torch.testing.assert_close(out.flatten(0, 2), expected[:, 0])


def test_stays_in_float32_under_autocast():
    x, weight = make(5, 1, 2, torch.float32)
    expected = dynamic_filter(x, weight, 5)
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(dynamic_filter(x, weight, 5), expected)
        half = dynamic_filter(x.bfloat16(), weight, 5)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, dynamic_filter(x.bfloat16().float(), weight, 5))


def test_stores_no_unfolded_copy():
    x, weight = make(8, 4, 1, torch.float32, size=(6, 7))
    x.requires_grad_(), weight.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.append(t.numel()) or t, lambda t: t
    ):
        dynamic_filter(x, weight, 8, 4)
    assert max(saved) <= weight.numel()
    assert sum(saved) < weight.numel() + 1.5 * x.numel()


@pytest.mark.parametrize('form', [dynamic_filter, dynamic_filter_reference])
def test_sizes_that_do_not_fit_are_named(form):
    x, weight = make(3, 1, 1)
    with pytest.raises(ValueError, match=r'25 taps.*\(2, 3, 1, 9, 3, 4\)'):
        form(x, weight, 5)
    with pytest.raises(ValueError, match=r'\(5, 6\).*got\s+x of shape'):
        form(x[..., 1:], weight, 3)


class Operations(TorchDispatchMode):
    """Counts what a GPU would have to start."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_operations_do_not_grow_with_the_taps_of_a_block():
    x, weight = (t.requires_grad_() for t in make(20, 4, 1))
    with Operations() as operations:
        dynamic_filter(x, weight, 20, 4).sum().backward()
    assert operations.count < 260, 'tap by tap it would be 8,410'
