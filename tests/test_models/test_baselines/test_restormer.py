"""Restormer: MMagic's values, and a tail of our own."""

import pytest
import torch
import torch.nn.functional as F
from mmagic.models.editors.restormer.restormer_net import Restormer

from fmanet_mm.models import WindowRestormer
from fmanet_mm.models.baselines.restormer import RestormerTrunk
from fmanet_mm.ops import Strips
from fmanet_mm.restoration.streaming import StreamingRestorer

SIZES = dict(
    dim=4, num_blocks=[1, 2, 1, 1], num_refinement_blocks=2, heads=[1, 2, 2, 4]
)


def build(**settings):
    torch.manual_seed(0)
    return WindowRestormer(num_frames=3, **SIZES, **settings).double().eval()


def stages(theirs):
    """MMagic's blocks and convolutions, in the order of ours."""
    encoders = [getattr(theirs, f'encoder_level{n}') for n in (1, 2, 3)]
    decoders = [getattr(theirs, f'decoder_level{n}') for n in (1, 2, 3)]
    return (
        [*encoders, theirs.latent, *decoders, theirs.refinement],
        [
            theirs.patch_embed.proj,
            *(
                down.body[0]
                for down in (theirs.down1_2, theirs.down2_3, theirs.down3_4)
            ),
            *(up.body[0] for up in (theirs.up2_1, theirs.up3_2, theirs.up4_3)),
            theirs.reduce_chan_level2,
            theirs.reduce_chan_level3,
        ],
    )


@torch.no_grad()
def copy_weights(theirs, ours):
    """Give our trunk the weights of MMagic's network."""
    groups, convs = stages(theirs)
    own = [*ours.encoders, *ours.decoders, ours.refinement]
    for theirs_blocks, our_blocks in zip(groups, own, strict=True):
        for block, layer in zip(theirs_blocks, our_blocks, strict=True):
            attention, ffn = layer.attention, layer.ffn
            for source, targets in (
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
                parts = source.weight.split([len(t.weight) for t in targets])
                for target, part in zip(targets, parts, strict=True):
                    target.weight.copy_(part)
            attention.temperature.copy_(block.attn.temperature.uniform_(0.5, 2))
            layer.attention_norm.load_state_dict(block.norm1.body.state_dict())
            layer.ffn_norm.load_state_dict(block.norm2.body.state_dict())
    own = [
        ours.embedding,
        *ours.reductions,
        *ours.expansions,
        *ours.fusions,
    ]
    for conv, target in zip(convs, own, strict=True):
        target.weight.copy_(conv.weight)


@torch.no_grad()
def test_the_trunk_gives_mmagics_last_feature():
    torch.manual_seed(0)
    theirs = Restormer(inp_channels=9, out_channels=9, **SIZES).double()
    ours = RestormerTrunk(9, **SIZES).double()
    copy_weights(theirs, ours)
    x = torch.randn(2, 9, 16, 24, dtype=torch.float64)
    seen = []
    theirs.refinement.register_forward_hook(lambda *args: seen.append(args[-1]))
    theirs(x)
    torch.testing.assert_close(ours(x), seen[0])


@torch.no_grad()
def test_the_tail_shuffles_twice_and_adds_the_centre_frame():
    net = build(scale=4, tail_channels=5)
    frames = torch.rand(2, 3, 3, 8, 16, dtype=torch.float64)
    feature = net.trunk(torch.cat([frames[:, t] for t in range(3)], dim=1))
    for layer in (net.tail[0], net.tail[2]):
        wide = F.conv2d(feature, layer.weight, layer.bias, padding=1)
        feature = wide.new_zeros(2, 5, 2 * wide.size(2), 2 * wide.size(3))
        for y in range(2):
            for x in range(2):
                feature[..., y::2, x::2] = wide[:, 2 * y + x :: 4]
    details = F.conv2d(feature, net.tail[4].weight, net.tail[4].bias, padding=1)
    base = F.interpolate(frames[:, 1], scale_factor=4, mode='bilinear')
    torch.testing.assert_close(net(frames), base + details)


@torch.no_grad()
def test_strips_change_nothing():
    net = build(scale=2)
    frames = torch.rand(1, 3, 3, 43, 13, dtype=torch.float64)
    torch.testing.assert_close(net(frames, Strips(9)), net(frames))


@torch.no_grad()
@pytest.mark.parametrize('batch_size', [1, 2])
def test_a_stream_gives_what_windows_give(batch_size):
    net = build(scale=2)
    clip = torch.rand(3, 3, 10, 12, dtype=torch.float64)
    restorer = StreamingRestorer(net, memory_budget=1, batch_size=batch_size)
    restored = [*restorer.restore(clip)]
    torch.testing.assert_close(restored[1], net(clip[None])[0])
    first = net(clip[[0, 0, 1]][None])[0]
    torch.testing.assert_close(restored[0], first)


def test_less_memory_is_taken_on_strips():
    net = build(scale=4).float()
    free = StreamingRestorer(net, memory_budget=8).peak_bytes(256, 64)
    tight = StreamingRestorer(net, memory_budget=0.01).peak_bytes(256, 64)
    assert tight < free


def test_checkpointed_training_has_the_same_gradients():
    frames = torch.rand(1, 3, 3, 8, 8, dtype=torch.float64)
    gradients = []
    for with_cp in (False, True):
        net = build(scale=2, with_cp=with_cp)
        net(frames).square().mean().backward()
        gradients.append([parameter.grad for parameter in net.parameters()])
    torch.testing.assert_close(*gradients)


def test_refuses_an_even_window_and_other_scales():
    with pytest.raises(ValueError, match='num_frames must be odd, got 4'):
        WindowRestormer(num_frames=4, scale=4)
    for scale in (1, 3):
        with pytest.raises(ValueError, match=f'scale must be 2, 4, .*, got {scale}'):
            WindowRestormer(num_frames=3, scale=scale)
