"""The choices that the ablations are made of, and the configs that make them."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from mmagic.models.editors.restormer.restormer_net import TransformerBlock
from mmcv.ops import modulated_deform_conv2d
from mmengine import Config
from mmengine.registry import DefaultScope
from tiny_ablations import FOLDER, NAMES, STREAMED, TINY, batch, build_tiny

from fmanet_mm.compat.mmflow import import_mmflow
from fmanet_mm.models import (
    DeformableAlignment,
    DynamicDownsampling,
    FlowGuidedDynamicDownsampling,
    GuidedAttention,
    GuidedModulation,
    MultiFlowWarp,
    NetD,
    NetR,
    SelfAttention,
)
from fmanet_mm.models.common import base_model
from fmanet_mm.models.fmanet.window import WindowRestoration
from fmanet_mm.ops import Strips, frame_rows, split_groups, warp_groups
from fmanet_mm.restoration import StreamingRestorer

HALF = dict(channels=6, num_heads=2, ffn_expansion=2.0, norm_with_bias=True)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def rand(*shape):
    return torch.rand(shape, dtype=torch.float64)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


@pytest.mark.parametrize('name', NAMES)
def test_every_config_trains(name):
    """A step against the gradient, which reaches every weight, lowers the loss."""
    model = build_tiny(name).train()
    inputs, targets = batch(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)

    def loss():
        return model.parse_losses(model(inputs, targets, mode='loss'))[0]

    before = loss()
    before.backward()
    idle = {n for n, p in model.named_parameters() if p.grad is None}
    without_anchor = '_ta_' in name
    assert all('anchor_head' in n for n in idle)
    assert bool(idle) == without_anchor
    config = Config.fromfile(FOLDER / f'{name}.py')
    assert config.get('find_unused_parameters', False) == without_anchor
    optimizer.step()
    assert loss() < before


@pytest.mark.parametrize('name', STREAMED)
@torch.no_grad()
def test_streams_on_strips_equal_windows(monkeypatch, name):
    model = build_tiny(name).eval()
    frames = torch.rand(3, 3, 16, 10)
    reach = model.num_frames // 2
    padded = torch.cat((*[frames[:1]] * reach, frames, *[frames[-1:]] * reach))
    windows = padded.unfold(0, model.num_frames, 1).movedim(-1, 1)
    expected = model(windows, mode='tensor')
    rows = set()
    refine = WindowRestoration.refine

    def observe(self, window, strips):
        if window[0].image.device.type != 'meta':  # on which memory is measured
            rows.add(strips.rows)
        return refine(self, window, strips)

    monkeypatch.setattr(WindowRestoration, 'refine', observe)
    restorer = StreamingRestorer(model, memory_budget=1e-6)
    given = torch.stack(list(restorer.restore(frames)))
    assert rows == {8}
    torch.testing.assert_close(given, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('scope', ['mmengine', 'mmflow'])
def test_networks_can_be_built_in_any_scope(scope):
    if scope == 'mmflow':
        import_mmflow()
    with DefaultScope.overwrite_default_scope(scope):
        NetD(channels=18, **TINY, num_blocks=1)
        NetR(channels=18, **TINY, num_blocks=1)


class TestConventionalFilter:
    def test_downsampling_equals_the_flow_guided_one_without_flow(self):
        frames, kernels = rand(1, 3, 3, 8, 12), randn(1, 3, 16, 4, 6)
        still = torch.zeros(1, 3, 3, 4, 6, dtype=torch.float64)
        moving = 3 * randn(1, 3, 3, 4, 6)
        guided = FlowGuidedDynamicDownsampling(kernel_size=4, scale=2)
        conventional = DynamicDownsampling(kernel_size=4, scale=2)
        expected, _ = guided(frames, still, kernels)
        for flow_mask in (still, moving):
            blurry, warped = conventional(frames, flow_mask, kernels)
            torch.testing.assert_close(blurry, expected, rtol=0, atol=1e-7)
            torch.testing.assert_close(warped, guided(frames, flow_mask, kernels)[1])
        assert (guided(frames, moving, kernels)[0] - expected).abs().max() > 0.01

    @torch.no_grad()
    def test_upsampling_reads_the_frames_as_they_are(self):
        sizes = dict(channels=18, **TINY, num_blocks=1)
        net_d = NetD(kernel_size=6, **sizes).double()
        guided = NetR(degradation_kernel_size=6, **sizes).double()
        conventional = NetR(
            degradation_kernel_size=6,
            upsampling=dict(type='DynamicUpsampling'),
            **sizes,
        ).double()
        guided.high_frequency_head.conv_last.weight.zero_()
        conventional.load_state_dict(guided.state_dict())
        frames = rand(1, 3, 3, 6, 8)
        degradation = net_d(frames)
        kernels = net_d.kernels(degradation.kernel_feature)
        output, warped, _ = conventional(frames, degradation, kernels)
        restoration = guided(frames, degradation, kernels)
        torch.testing.assert_close(warped, restoration.warped_frames)
        # No flow, and masks of one half.
        guided.second_flow_head[2].weight.zero_()
        restoration = guided(frames, degradation, kernels)
        torch.testing.assert_close(output, 2 * restoration.output)


class TestAlignment:
    def test_multi_flow_warp(self):
        warp = MultiFlowWarp(channels=6, num_flows=3)
        feature, flow_masks = rand(2, 6, 5, 7), randn(2, 9, 5, 7)
        given = warp(warp.prepare(feature), flow_masks, frame_rows(feature))
        expected = warp_groups(split_groups(feature, 3), flow_masks)
        torch.testing.assert_close(given, expected)

    def deformable(self):
        align = DeformableAlignment(channels=4, num_flows=9).double()
        return align, rand(2, 4, 6, 7), 2 * randn(2, 27, 6, 7)

    def test_without_flow_it_is_a_convolution(self):
        align, feature, flow_masks = self.deformable()
        flow_masks = flow_masks.unflatten(1, (9, 3))
        flow_masks[:, :, :2], flow_masks[:, :, 2] = 0, 1e3
        given = align(
            align.prepare(feature), flow_masks.flatten(1, 2), frame_rows(feature)
        )
        expected = F.conv2d(feature, align.conv.weight, padding=1)
        torch.testing.assert_close(given, expected)

    def test_equals_that_of_mmcv_with_its_gradients(self):
        align, feature, flow_masks = self.deformable()
        variables = feature, flow_masks, align.conv.weight
        for variable in variables:
            variable.requires_grad_()
        pairs = flow_masks.unflatten(1, (9, 3))
        offset, mask = pairs[:, :, (1, 0)].flatten(1, 2), pairs[:, :, 2].sigmoid()
        outputs = (
            align(align.prepare(feature), flow_masks, frame_rows(feature)),
            modulated_deform_conv2d(
                feature, offset, mask, align.conv.weight, None, 1, 1, 1, 1, 1
            ),
        )
        torch.testing.assert_close(*outputs)
        gradients = [torch.autograd.grad(o.square().sum(), variables) for o in outputs]
        torch.testing.assert_close(*gradients)

    def test_of_some_rows(self):
        align, feature, flow_masks = self.deformable()
        prepared, rows = align.prepare(feature), frame_rows(feature)
        whole = align(prepared, flow_masks, rows)
        part = align(prepared, flow_masks[..., 2:5, :], rows[2:5])
        torch.testing.assert_close(part, whole[..., 2:5, :])

    def test_it_has_no_weights_but_the_convolution(self):
        assert [*self.deformable()[0].state_dict()] == ['conv.weight']

    @pytest.mark.parametrize('chosen', [MultiFlowWarp, DeformableAlignment])
    def test_every_block_aligns_as_is_said(self, chosen):
        net = NetD(channels=18, **TINY, alignment=dict(type=chosen.__name__))
        assert [type(block.alignment) for block in net.blocks] == [chosen] * 4
        (given,) = {type(block.alignment) for block in NetD(channels=18, **TINY).blocks}
        assert given is MultiFlowWarp

    @pytest.mark.parametrize(('num_flows', 'kernel_size'), [(5, 3), (4, 2)])
    def test_needs_a_pair_for_each_tap(self, num_flows, kernel_size):
        with pytest.raises(ValueError, match=f'num_flows={num_flows}'):
            DeformableAlignment(8, num_flows, kernel_size)


class TestHalves:
    @torch.no_grad()
    def test_self_attention_equals_a_block_of_restormer(self):
        half = SelfAttention(**HALF).double()
        block = TransformerBlock(6, 2, 2.0, False, 'WithBias').double()
        attention, ffn = half.attention, half.ffn
        for theirs, ours in (
            (block.attn.qkv, (attention.query, attention.key_value)),
            (
                block.attn.qkv_dwconv,
                (attention.query_depthwise, attention.key_value_depthwise),
            ),
            (block.attn.project_out, (attention.project_out,)),
            (block.ffn.project_in, (ffn.project_in,)),
            (block.ffn.dwconv, (ffn.depthwise,)),
            (block.ffn.project_out, (ffn.project_out,)),
        ):
            theirs.weight.copy_(torch.cat([module.weight for module in ours]))
        half.attention_norm.bias.copy_(block.norm1.body.bias.normal_())
        half.ffn_norm.weight.copy_(block.norm2.body.weight.uniform_())
        feature = randn(2, 6, 9, 5)
        expected = block(feature)
        torch.testing.assert_close(half(feature, randn(2, 6, 9, 5)), expected)
        guided = GuidedAttention(**HALF).double()
        guided.load_state_dict(half.state_dict())
        normalised = half.attention_norm(feature)
        torch.testing.assert_close(guided(feature, normalised), expected)
        torch.testing.assert_close(half(feature, None, Strips(4)), expected)

    @torch.no_grad()
    def test_modulation_is_the_spatial_feature_transform(self):
        half = GuidedModulation(**HALF).double()
        feature, guide = randn(1, 6, 9, 5), randn(1, 6, 9, 5)

        def transform(layers, guide):
            """Two fully connected layers of a pixel."""
            hidden = guide @ layers[0].weight[..., 0, 0].T
            return torch.where(hidden > 0, hidden, 0.2 * hidden) @ (
                layers[2].weight[..., 0, 0].T
            )

        pixels, guides = (x[0].permute(1, 2, 0) for x in (feature, guide))
        scale, shift = (
            transform(layers, guides) for layers in (half.scale, half.shift)
        )
        expected = (pixels * (1 + scale) + shift).permute(2, 0, 1)[None]
        torch.testing.assert_close(half.modulate(feature, guide), expected)
        expected = expected + half.ffn(half.ffn_norm(expected))
        torch.testing.assert_close(half(feature, guide), expected)
        torch.testing.assert_close(half(feature, guide, Strips(4)), expected)

    def test_only_what_is_said_is_exchanged(self):
        sizes = dict(channels=18, **TINY, num_blocks=1)
        net = NetR(
            **sizes,
            centre_attention=dict(type='SelfAttention'),
            degradation_attention=dict(type='GuidedModulation'),
        )
        (block,) = net.blocks[0].attention_blocks
        types = {guide: type(half) for guide, half in block.halves.items()}
        assert types == dict(centre=SelfAttention, degradation=GuidedModulation)
        (block,) = NetD(**sizes).blocks[0].attention_blocks
        assert {guide: type(half) for guide, half in block.halves.items()} == dict(
            centre=GuidedAttention
        )
        with pytest.raises(TypeError, match='degradation_attention'):
            NetD(**sizes, degradation_attention=dict(type='GuidedModulation'))


@pytest.mark.parametrize('name', STREAMED)
def test_weights_cast_at_once_are_those_that_autocast_casts(monkeypatch, name):
    """Others are computed with in float32."""
    model = build_tiny(name).train()
    inputs, targets = batch(model, 6, 8)

    def losses():
        with torch.autocast('cpu', torch.bfloat16):
            return model(inputs, targets, mode='loss')

    given = losses()
    monkeypatch.setattr(base_model, 'cast_convolutions', lambda _: nullcontext())
    for name, expected in losses().items():
        torch.testing.assert_close(given[name], expected, rtol=1e-6, atol=0)
