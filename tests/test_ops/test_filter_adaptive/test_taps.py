import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.ops import filter_adaptive_conv, filter_adaptive_conv_reference

FORMS = (filter_adaptive_conv, filter_adaptive_conv_reference)


def make(kernel_size, dtype=torch.float64, size=(4, 5), channels=3):
    generator = torch.Generator().manual_seed(kernel_size)
    x = torch.randn(2, channels, *size, generator=generator, dtype=dtype)
    weight = torch.randn(
        2, channels * kernel_size**2, *size, generator=generator, dtype=dtype
    )
    return x, weight


@pytest.mark.parametrize('form', FORMS)
def test_is_the_formula_pixel_by_pixel(form):
    """With the border repeated, taps in row-major order, channel by channel."""
    x, weight = make(5)
    expected = torch.zeros_like(x)
    for c in range(3):
        for i in range(4):
            for j in range(5):
                for u in range(5):
                    for v in range(5):
                        row, column = (
                            min(max(i + u - 2, 0), 3),
                            min(max(j + v - 2, 0), 4),
                        )
                        tap = weight[:, 25 * c + 5 * u + v, i, j]
                        expected[:, c, i, j] += tap * x[:, c, row, column]
    torch.testing.assert_close(form(x, weight, 5), expected)


@pytest.mark.parametrize('kernel_size', [1, 3, 5])
def test_lean_form_equals_unfolding_in_values_and_gradients(kernel_size):
    results = []
    for form in FORMS:
        leaves = [t.requires_grad_() for t in make(kernel_size)]
        out = form(*leaves, kernel_size)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        results.append((out.detach(), *(leaf.grad for leaf in leaves)))
    for lean, reference in zip(*results, strict=True):
        torch.testing.assert_close(lean, reference, rtol=1e-12, atol=1e-12)


def test_gradcheck():
    x, weight = (t[:1].requires_grad_() for t in make(3, size=(2, 3), channels=2))
    assert torch.autograd.gradcheck(
        lambda x, w: filter_adaptive_conv(x, w, 3), (x, weight)
    )


def test_each_input_may_need_no_gradient():
    full = [t.requires_grad_() for t in make(3)]
    filter_adaptive_conv(*full, 3).sum().backward()
    for i in range(2):
        leaves = [*make(3)]
        leaves[i].requires_grad_()
        filter_adaptive_conv(*leaves, 3).sum().backward()
        torch.testing.assert_close(leaves[i].grad, full[i].grad)
        assert leaves[1 - i].grad is None


def test_equals_a_depthwise_convolution_when_all_pixels_share_their_filters():
    x, weight = make(5)
    shared = weight[:1, :, :1, :1]
    out = filter_adaptive_conv(x, shared.expand_as(weight), 5)
    padded = F.pad(x, (2, 2, 2, 2), mode='replicate')
    torch.testing.assert_close(out, F.conv2d(padded, shared.view(3, 1, 5, 5), groups=3))


def test_filters_in_half_precision_are_summed_up_in_float32():
    x, weight = make(3, torch.float32)
    half = filter_adaptive_conv(x.bfloat16(), weight.bfloat16(), 3)
    assert half.dtype == torch.float32
    exact = filter_adaptive_conv(x.bfloat16().float(), weight.bfloat16().float(), 3)
    assert torch.equal(half, exact)


def test_gradients_have_the_types_of_their_inputs():
    x, weight = make(3, torch.float32)
    leaves = [x.requires_grad_(), weight.bfloat16().requires_grad_()]
    filter_adaptive_conv(*leaves, 3).sum().backward()
    assert [leaf.grad.dtype for leaf in leaves] == [torch.float32, torch.bfloat16]


def test_stores_no_unfolded_copy():
    x, weight = make(5, torch.float32, size=(6, 7))
    x.requires_grad_(), weight.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.append(t.numel()) or t, lambda t: t
    ):
        filter_adaptive_conv(x, weight, 5)
    assert sorted(saved)[-1] == weight.numel()
    assert sum(saved) <= weight.numel() + 2 * 3 * 2 * 10 * 11


@pytest.mark.parametrize('form', FORMS)
def test_sizes_that_do_not_fit_are_named(form):
    x, weight = make(3)
    with pytest.raises(
        ValueError, match=r'5x5 taps .*\(2, 75, 4, 5\), got .*\(2, 27, '
    ):
        form(x, weight, 5)
    with pytest.raises(ValueError, match='kernel_size must be odd and positive, got 2'):
        form(x, weight, 2)
