import pytest
import torch
import torch.nn.functional as F

from fmanet_mm.models import PointwiseKernelEmbedding, SequenceNetD, TapKernelEmbedding
from fmanet_mm.models.fmanet_pp.hrba import HRBABlock
from fmanet_mm.models.fmanet_pp.kernel_embedding import FactoredKernels
from fmanet_mm.ops import Strips, flow_warp

CHANNELS, FLOWS = 8, 2
TINY = dict(
    channels=CHANNELS,
    scale=4,
    num_flows=FLOWS,
    num_blocks=1,
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=1,
    growth_channels=4,
    num_dense_layers=1,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def make_block(**changes):
    settings = dict(
        num_attention_blocks=0,
        fusion_kernel_size=3,
        alignment=dict(type='MultiFlowWarp'),
        attention={},
    )
    return HRBABlock(CHANNELS, FLOWS, **settings | changes).double()


def random(*size):
    return torch.randn(*size, dtype=torch.float64)


@torch.no_grad()
def test_without_flow_and_full_masks_the_neighbours_are_read_where_they_are():
    block = make_block()
    own, previous, following = random(3, 1, CHANNELS, 6, 7)
    # sigmoid(40) is 1 in double precision
    flow_masks = torch.tensor([0, 0, 40.0] * 2 * FLOWS).double().view(1, -1, 1, 1)
    flow_masks = flow_masks.expand(-1, -1, 6, 7)
    feature, _ = block(own, flow_masks, (previous, following))
    stacked = torch.cat((own, previous, following), dim=1)
    expected = F.conv2d(stacked, block.neighbour_fusion.weight, padding=1)
    torch.testing.assert_close(feature, expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_every_group_of_channels_is_warped_by_its_own_pair():
    block = make_block(fusion_kernel_size=1)
    own, previous, following = random(3, 1, CHANNELS, 6, 7)
    flow_masks = 2 * random(1, 6 * FLOWS, 6, 7)
    feature, updated = block(own, flow_masks, (previous, following))
    groups = []
    for neighbour, pairs in zip((previous, following), flow_masks.chunk(2, 1)):  # noqa: B905
        for group, pair in zip(neighbour.chunk(FLOWS, 1), pairs.chunk(FLOWS, 1)):  # noqa: B905
            groups.append(flow_warp(group, pair[:, :2]) * pair[:, 2:].sigmoid())
    stacked = torch.cat((own, *groups), dim=1)
    expected = F.conv2d(stacked, block.neighbour_fusion.weight)
    torch.testing.assert_close(feature, expected, rtol=0, atol=1e-12)
    first, _, second = block.flow_update
    hidden = F.leaky_relu(first(torch.cat((expected, flow_masks), dim=1)), 0.2)
    torch.testing.assert_close(updated, flow_masks + second(hidden), rtol=0, atol=1e-12)


@pytest.mark.parametrize('embedding', [PointwiseKernelEmbedding, TapKernelEmbedding])
@torch.no_grad()
def test_embedded_kernels_are_those_of_kernels_that_are_computed(embedding):
    """At the frame's borders, too, where kernels are padded."""
    kernels = FactoredKernels(random(2, CHANNELS, 5, 4), random(3 * 9, CHANNELS, 3, 3))
    part = embedding(CHANNELS, kernel_size=3).double()
    computed = F.conv2d(kernels.feature, kernels.weight, padding=1)
    if embedding is PointwiseKernelEmbedding:
        expected = F.conv2d(computed, part.conv.weight)
    else:
        taps = [F.conv2d(x, part.conv.weight, padding=1) for x in computed.chunk(3, 1)]
        expected = F.conv2d(torch.cat(taps, dim=1), part.fusion.weight)
    torch.testing.assert_close(part(kernels), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(kernels.compute(), computed, rtol=0, atol=0)


@pytest.mark.parametrize('embedding', [PointwiseKernelEmbedding, TapKernelEmbedding])
@torch.no_grad()
def test_strips_change_nothing(embedding):
    layer = dict(num_heads=2, ffn_expansion=2.0, norm_with_bias=True)
    block = make_block(
        num_attention_blocks=1,
        attention=dict(
            frame=dict(type='SelfAttention', **layer),
            degradation=dict(type='GuidedAttention', **layer),
        ),
        kernel_embedding=dict(type=embedding.__name__, kernel_size=2),
    )
    own, previous, following = random(3, 1, CHANNELS, 21, 7)
    kernels = FactoredKernels(random(1, CHANNELS, 21, 7), random(12, CHANNELS, 3, 3))
    inputs = own, 3 * random(1, 6 * FLOWS, 21, 7), (previous, following), None, kernels
    whole, on_strips = block(*inputs), block(*inputs, Strips(4))
    torch.testing.assert_close(on_strips, whole, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_delta_kernel_gives_every_fourth_pixel():
    net_d = SequenceNetD(kernel_size=20, **TINY).double()
    sharp = torch.rand(1, 3, 3, 24, 28).double()
    # Tap (8, 8) of a kernel that is centred on 4x4 pixels is the first of them.
    kernels = torch.full((1, 3, 3, 400, 6, 7), -1e4).double()
    kernels[:, :, 1, 8 * 20 + 8] = 0
    blurry, _ = net_d.degrade(sharp, random(1, 3, 2, 3, 6, 7), kernels)
    torch.testing.assert_close(blurry, sharp[..., ::4, ::4], rtol=0, atol=1e-7)


@pytest.mark.parametrize('source', ['previous', 'following'])
@torch.no_grad()
def test_degrading_reads_the_neighbour_that_a_kernel_names(source):
    net_d = SequenceNetD(kernel_size=20, **TINY).double()
    sharp = torch.rand(1, 3, 3, 24, 28).double()
    flow_mask = torch.zeros(1, 3, 2, 3, 6, 7).double()
    flow_mask[:, :, :, 2] = 40
    kernels = torch.full((1, 3, 3, 400, 6, 7), -1e4).double()
    kernels[:, :, dict(previous=0, following=2)[source], 8 * 20 + 8] = 0
    blurry, warped = net_d.degrade(sharp, flow_mask, kernels)
    # Beyond an end of the clip, the frame is its own neighbour.
    order = dict(previous=[0, 0, 1], following=[1, 2, 2])
    expected = sharp[:, order[source], :, ::4, ::4]
    torch.testing.assert_close(blurry, expected, rtol=0, atol=1e-7)
    for index, name in enumerate(order):
        torch.testing.assert_close(
            warped[:, :, index], sharp[:, order[name]], rtol=0, atol=1e-7
        )


@torch.no_grad()
def test_conventional_filters_read_the_frames_where_they_are():
    """The warped frames are returned all the same."""
    sharp = torch.rand(1, 2, 3, 24, 28).double()
    inputs = sharp, 2 * random(1, 2, 2, 3, 6, 7), random(1, 2, 3, 400, 6, 7)
    guided = SequenceNetD(kernel_size=20, **TINY)
    conventional = SequenceNetD(
        kernel_size=20, downsampling=dict(type='DynamicDownsampling'), **TINY
    )
    still = torch.tensor([0, 0, 40.0]).double().view(1, 1, 1, 3, 1, 1)
    expected, _ = guided.degrade(sharp, still.expand_as(inputs[1]), inputs[2])
    blurry, warped = conventional.degrade(*inputs)
    torch.testing.assert_close(blurry, expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(warped, guided.degrade(*inputs)[1])


@pytest.mark.parametrize(
    ('sizes', 'message'),
    [
        (
            dict(num_flows=3),
            'channels must be a multiple of num_flows.*=8 and .*=3',
        ),
        (dict(num_heads=3), 'channels must be a multiple of num_heads'),
        (dict(scale=5), 'scale must be 1, 2, 3 or 4, got 5'),
        (dict(fusion_kernel_size=2), 'fusion_kernel_size must be odd, got 2'),
        (dict(ends='mirror'), "ends must be one of replicate, zero, got 'mirror'"),
        (dict(temporal='fast'), "temporal must be one of hierarchical.*got 'fast'"),
        (dict(kernel_size=3), 'kernel size must be scale . an even number'),
    ],
)
def test_sizes_that_do_not_fit_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        SequenceNetD(**TINY | sizes)
