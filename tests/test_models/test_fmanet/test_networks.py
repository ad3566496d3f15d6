import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.models import (
    FlowGuidedDynamicDownsampling,
    FlowGuidedDynamicUpsampling,
    NetD,
    NetR,
)
from fmanet_mm.models.common.layers import (
    FrameFusion,
    TemporalConv,
    conv_pair,
    per_frame,
)
from fmanet_mm.models.common.multi_attention import ChannelLayerNorm
from fmanet_mm.models.common.rdb import ResidualDenseBlock
from fmanet_mm.models.fmanet.net_r import ComposedKernelEmbedding, KernelEmbedding

TINY = dict(
    channels=30,
    num_flows=2,
    num_blocks=2,
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=2,
    growth_channels=4,
    num_dense_layers=2,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(num_frames=3, scale=4, kernel_size=8, up_kernel_size=3, **changes):
    shared = TINY | dict(num_frames=num_frames, scale=scale) | changes
    net_d = NetD(kernel_size=kernel_size, **shared)
    net_r = NetR(
        kernel_size=up_kernel_size, degradation_kernel_size=kernel_size, **shared
    )
    return net_d.double(), net_r.double()


@pytest.mark.parametrize(
    'sizes',
    [
        dict(num_frames=1, scale=1, kernel_size=5),
        dict(num_frames=3, scale=2, kernel_size=6, up_kernel_size=1),
        dict(num_frames=5, scale=3, kernel_size=9, up_kernel_size=5),
        dict(num_frames=3, scale=4, num_flows=5, num_blocks=1, norm_with_bias=False),
    ],
)
@torch.no_grad()
def test_generality_and_equivariance_to_the_batch(sizes):
    net_d, net_r = build(**sizes)
    t, s = net_d.num_frames, net_d.scale
    x = torch.rand(2, t, 3, 9, 7, dtype=torch.float64)
    sharp = torch.rand(2, t, 3, 9 * s, 7 * s, dtype=torch.float64)
    degradation = net_d(x)
    kernels = net_d.kernels(degradation.kernel_feature)
    flow_mask = net_d.image_flow_mask(degradation.flow_masks)
    blurry, warped = net_d.degrade(sharp, flow_mask, kernels)
    output = net_r(x, degradation, kernels).output
    assert blurry.shape == (2, 3, 9, 7)
    assert warped.shape == sharp.shape
    assert output.shape == (2, 3, 9 * s, 7 * s)
    assert blurry.min() >= 0, 'a mean of pixels with positive weights'
    assert blurry.max() <= 1 + 1e-9
    of_one = net_d(x[1:])
    alone = net_r(x[1:], of_one, net_d.kernels(of_one.kernel_feature)).output
    torch.testing.assert_close(alone, output[1:], rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_features_depend_on_one_frame_only():
    net_d, net_r = build()
    x = torch.rand(4, 3, 8, 6, dtype=torch.float64)
    together = list(net_d.encode(x))
    assert len(together) == 3
    for i in range(4):
        alone = net_d.encode(x[i : i + 1])
        for level, feature in enumerate(alone):
            torch.testing.assert_close(feature, together[level][i : i + 1])
    for level in net_r.encode(x, together[-1]):
        assert level.shape == (4, 30, 8, 6)


@pytest.mark.parametrize(
    ('build_it', 'message'),
    [
        (lambda: NetD(num_frames=2), 'num_frames must be odd and positive, got 2'),
        (lambda: NetD(scale=5), 'scale must be 1, 2, 3 or 4, got 5'),
        (lambda: NetD(num_frames=7), 'channels=90 and num_frames=7'),
        (lambda: NetD(num_flows=4), 'channels=90 and num_flows=4'),
        (lambda: NetR(num_heads=4), 'channels=90 and num_heads=4'),
        (lambda: NetD(kernel_size=19), 'kernel_size=19 and scale=4'),
        (lambda: NetD(kernel_size=2), 'kernel_size=2 and scale=4'),
        (lambda: NetR(kernel_size=4), 'must be odd, got 4'),
    ],
)
def test_rules_name_both_values(build_it, message):
    with pytest.raises(ValueError, match=message):
        build_it()


def test_dense_block_equals_concatenation():
    block = ResidualDenseBlock(6, 4, 3).double()
    x = torch.rand(2, 6, 5, 7, dtype=torch.float64, requires_grad=True)
    dense = x
    for layer in block.layers:
        dense = torch.cat((dense, F.leaky_relu(layer(dense), 0.2)), dim=1)
    expected = x + block.fusion(dense)
    out = block(x)
    torch.testing.assert_close(out, expected)
    grads = [
        torch.autograd.grad(o.square().sum(), (x, *block.parameters()))
        for o in (out, expected)
    ]
    for ours, reference in zip(*grads, strict=True):
        torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize('num_frames', [1, 2, 3, 5])
def test_temporal_conv_equals_conv3d(num_frames):
    conv = TemporalConv(4, 5).double()
    x = torch.rand(2, num_frames, 4, 6, 5, dtype=torch.float64)
    expected = F.conv3d(x.transpose(1, 2), conv.weight, padding=1).transpose(1, 2)
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize('size', [(1, 1), (2, 5), (3, 4), (7, 6)])
@torch.no_grad()
def test_composed_kernel_embedding_equals_both_steps(size):
    embedding = KernelEmbedding(kernel_size=4, channels=5).double()
    head = conv_pair(2, 6, 4**2).double()
    feature = torch.rand(2, 3, 2, *size, dtype=torch.float64)
    expected = embedding(per_frame(head, feature))
    torch.testing.assert_close(
        ComposedKernelEmbedding(head, embedding)(feature), expected
    )


@pytest.mark.parametrize(('kernel_size', 'makes_kernels'), [(2, True), (4, False)])
@torch.no_grad()
def test_kernels_are_made_if_that_is_cheaper(kernel_size, makes_kernels):
    embedding = KernelEmbedding(kernel_size, channels=5)
    head = conv_pair(2, 6, kernel_size**2)
    shapes = []
    embedding.conv_in.register_forward_pre_hook(
        lambda module, inputs: shapes.append(inputs[0].shape)
    )
    ComposedKernelEmbedding(head, embedding)(torch.rand(1, 3, 2, 32, 32))
    assert ((1, 3, kernel_size**2, 32, 32) in shapes) == makes_kernels


def test_frame_fusion_is_channel_major_behind_the_carry():
    fusion = FrameFusion(4, 3, carry_channels=2).double()
    frames = torch.rand(2, 3, 4, 5, 5, dtype=torch.float64)
    carry = torch.rand(2, 2, 5, 5, dtype=torch.float64)
    side_by_side = torch.cat((carry, frames.transpose(1, 2).flatten(1, 2)), dim=1)
    expected = F.conv2d(side_by_side, fusion.weight)
    torch.testing.assert_close(fusion(frames, carry), expected)


def test_bias_free_layer_norm_does_not_centre():
    norm = ChannelLayerNorm(3, with_bias=False).double()
    x = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64).view(1, 3, 1, 1)
    expected = x / (torch.tensor(14 / 3, dtype=torch.float64) + 1e-5).sqrt()
    torch.testing.assert_close(norm(x), expected)
    assert [name for name, _ in norm.named_parameters()] == ['weight']


def test_layer_norm_with_bias():
    norm = ChannelLayerNorm(3).double()
    x = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    mean, var = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
    torch.testing.assert_close(norm(x), (x - mean) / (var + 1e-5).sqrt())


class TestFlowGuidedDynamicFiltering:
    def test_uniform_kernels_without_flow_average_a_box(self):
        layer = FlowGuidedDynamicDownsampling(kernel_size=4, scale=2)
        frames = torch.rand(1, 3, 3, 8, 12, dtype=torch.float64)
        flow_mask = torch.zeros(1, 3, 3, 4, 6, dtype=torch.float64)
        kernels = torch.zeros(1, 3, 16, 4, 6, dtype=torch.float64)
        blurry, warped = layer(frames, flow_mask, kernels)
        padded = F.pad(frames.mean(1), (1,) * 4, mode='replicate')
        torch.testing.assert_close(
            blurry, F.avg_pool2d(padded, 4, 2), atol=1e-7, rtol=0
        )
        torch.testing.assert_close(warped, frames / 2)

    def test_flow_counts_lr_pixels_and_masked_frames_drop_out(self):
        layer = FlowGuidedDynamicDownsampling(kernel_size=2, scale=2)
        frames = torch.rand(1, 1, 3, 8, 12, dtype=torch.float64)
        frames = torch.cat((frames, frames.roll(2, dims=-1)), dim=1)
        flow_mask = torch.zeros(1, 2, 3, 4, 6, dtype=torch.float64)
        flow_mask[:, 0, 2] = -1e3
        flow_mask[:, 1, 0] = 1
        kernels = torch.zeros(1, 2, 4, 4, 6, dtype=torch.float64)
        blurry, _ = layer(frames, flow_mask, kernels)
        expected = F.avg_pool2d(frames[:, 0], 2)
        torch.testing.assert_close(
            blurry[..., :-1], expected[..., :-1], atol=1e-6, rtol=0
        )

    def test_equal_upsampling_kernels_become_a_box_of_all_frames(self):
        layer = FlowGuidedDynamicUpsampling(kernel_size=3, scale=2)
        warped = torch.rand(1, 3, 3, 5, 6, dtype=torch.float64)
        kernels = torch.full((1, 3, 4 * 9, 5, 6), 7.0, dtype=torch.float64)
        padded = F.pad(warped.mean(1), (1,) * 4, mode='replicate')
        expected = F.avg_pool2d(padded, 3, 1).repeat_interleave(2, 2)
        torch.testing.assert_close(
            layer(warped, kernels), expected.repeat_interleave(2, 3)
        )

    def test_kernel_order_is_sub_pixel_then_tap(self):
        layer = FlowGuidedDynamicUpsampling(kernel_size=3, scale=2)
        warped = torch.rand(1, 1, 3, 4, 4, dtype=torch.float64)
        kernels = torch.zeros(1, 1, 4 * 9, 4, 4, dtype=torch.float64)
        sub_pixel, tap = 1 * 2 + 0, 1 * 3 + 2
        kernels[:, :, sub_pixel * 9 + tap] = 1
        out = layer(warped, kernels) - layer(warped, torch.zeros_like(kernels))
        right = F.pad(warped[:, 0], (0, 1, 0, 0), mode='replicate')[..., 1:]
        box = F.avg_pool2d(F.pad(warped[:, 0], (1,) * 4, mode='replicate'), 3, 1)
        expected = torch.zeros_like(out)
        expected[..., 1::2, 0::2] = right - box
        torch.testing.assert_close(out, expected)
