"""RVRT: its parts against plain loops, and the order in which clips are propagated."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import nn

from fmanet_mm.models import RVRT
from fmanet_mm.models.baselines.rvrt import alignment, swin
from fmanet_mm.models.baselines.rvrt.alignment import GuidedDeformableAttention
from fmanet_mm.models.baselines.rvrt.swin import TransformerBlock, TransformerLayer
from fmanet_mm.restoration.loading import build_network, build_restorer

WINDOW = 2, 4, 4
CHANNELS = 12
HEADS = 12


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def randomised():
    """Build a module with random weights, those that begin with zeros too."""

    def build(factory, *args, scale=0.5, **kwargs):
        module = factory(*args, **kwargs).double().eval()
        with torch.no_grad():
            for seed, weight in enumerate(module.parameters()):
                weight.copy_(scale * randn(*weight.shape, seed=seed))
        return module

    return build


def attend_by_loops(layer, x, is_shifted):
    """Attention of one clip, (T, H, W, C), pixel by pixel, over its padded frames."""
    attention, size = layer.attention, x.shape[:3]
    window = [min(n, w) for n, w in zip(size, WINDOW, strict=True)]
    shift = [
        w // 2 if is_shifted and n > w else 0 for n, w in zip(size, WINDOW, strict=True)
    ]
    grid = [n + -n % w for n, w in zip(size, window, strict=True)]
    padded = x.new_zeros(*grid, x.size(3))
    padded[tuple(map(slice, size))] = x
    num_heads = attention.num_heads
    linear = attention.query_key_value
    qkv = F.linear(padded, linear.weight, linear.bias)
    queries, keys, values = qkv.unflatten(3, (3, num_heads, -1)).unbind(3)
    places = list(itertools.product(*map(range, grid)))
    moved = {
        place: [(p - s) % n for p, s, n in zip(place, shift, grid, strict=True)]
        for place in places
    }
    out = torch.zeros_like(x)
    for place in itertools.product(*map(range, size)):
        near, logits = [], []
        for other in places:
            pairs = list(zip(moved[place], moved[other], window, strict=True))
            # Next to each other, and not only because the other end was moved there.
            steps = [p - o for p, o in zip(place, other, strict=True)]
            if any(p // w != o // w for p, o, w in pairs) or any(
                p - o != step for (p, o, _), step in zip(pairs, steps, strict=True)
            ):
                continue
            index = 0
            for step, largest in zip(steps, WINDOW, strict=True):
                index = index * (2 * largest - 1) + step + largest - 1
            product = (queries[place] * keys[other]).sum(1)
            product = product / queries.size(4) ** 0.5
            logits.append(product + attention.position_bias[index])
            near.append(values[other])
        weights = torch.stack(logits).softmax(0).unsqueeze(2)
        attended = (weights * torch.stack(near)).sum(0).flatten()
        out[place] = F.linear(
            attended, attention.project.weight, attention.project.bias
        )
    return out


class TestTransformer:
    @pytest.mark.parametrize('size', [(2, 6, 9), (3, 8, 3), (1, 2, 5)])
    @pytest.mark.parametrize('is_shifted', [False, True])
    @torch.no_grad()
    def test_layers_attend_within_windows(self, randomised, size, is_shifted):
        layer = randomised(TransformerLayer, 6, WINDOW, 2, is_shifted)
        x = randn(1, *size, 6)
        normed = layer.attention_norm(x[0])
        expected = x[0] + attend_by_loops(layer, normed, is_shifted)
        first, _, second = layer.mlp
        hidden = F.gelu(first(layer.mlp_norm(expected)))
        torch.testing.assert_close(layer(x)[0], expected + second(hidden))

    @torch.no_grad()
    def test_a_block_adds_two_layers_the_second_shifted(self, randomised):
        block = randomised(TransformerBlock, 6, WINDOW, 2)
        x = randn(2, 2, 6, 9, 6)
        plain, shifted = block.layers
        assert not plain.is_shifted and shifted.is_shifted
        expected = x + block.linear(shifted(plain(x)))
        torch.testing.assert_close(block(x), expected)

    @torch.no_grad()
    def test_windows_are_computed_in_any_portions(self, randomised, monkeypatch):
        layer = randomised(TransformerLayer, 6, WINDOW, 2, True)
        x = randn(3, 2, 9, 9, 6)
        expected = layer(x)
        monkeypatch.setattr(swin, 'WINDOWS_AT_ONCE', 5)
        torch.testing.assert_close(layer(x), expected)

    def test_at_first_no_place_is_preferred(self):
        assert not TransformerLayer(6, WINDOW, 2, True).attention.position_bias.any()


def sample(image, y, x):
    """Bilinear, zeros outside, of (C, H, W)."""
    top, left = int(y // 1), int(x // 1)
    out = 0
    for row, column in itertools.product((top, top + 1), (left, left + 1)):
        weight = (1 - abs(y - row)) * (1 - abs(x - column))
        if 0 <= row < image.size(1) and 0 <= column < image.size(2):
            out = out + weight * image[:, row, column]
    return out


def align_by_loops(module, query, key, value, flows):
    """Guided deformable attention of one clip, pixel by pixel; q, k, v (2, D, H, W)."""

    def linear(layer, x):
        weight = layer.weight.flatten(1)
        return (x.movedim(-3, -1) @ weight.T + layer.bias).movedim(-1, -3)

    num_frames, channels, height, width = query.shape
    q, k, v = (
        linear(layer, x)
        for layer, x in (
            (module.query, query),
            (module.key, key),
            (module.value, value),
        )
    )
    out = torch.zeros_like(query)
    refined = torch.zeros_like(flows)
    for frame in range(num_frames):
        warped = torch.zeros(2, channels, height, width, dtype=query.dtype)
        for pair, y, x in itertools.product(range(2), range(height), range(width)):
            dx, dy = flows[frame, pair, :, y, x].tolist()
            source = value[(frame + pair) % 2]
            warped[pair, :, y, x] = sample(source, y + dy, x + dx)
        flow = flows[frame].flatten(0, 1)
        known = torch.cat((query[frame], *warped, flow))
        found = 10 * module.offsets(known[None])[0].tanh()
        found = found.view(2, 12, 9, 2, height, width)
        for y, x in itertools.product(range(height), range(width)):
            for pair in range(2):
                delta = found[pair, :, :, :, y, x].mean((0, 1)).flip(0)
                refined[frame, pair, :, y, x] = flows[frame, pair, :, y, x] + delta
            heads = []
            for head in range(HEADS):
                size = channels // 6
                part = slice(head * size, (head + 1) * size)
                logits, values = [], []
                for pair, tap in itertools.product(range(2), range(9)):
                    source = (frame + pair) % 2
                    dx, dy = flows[frame, pair, :, y, x].tolist()
                    sampled = []
                    for features, first_group in ((k, 0), (v, 6)):
                        offset = found[pair, first_group + head // 2, tap, :, y, x]
                        at_y = y + tap // 3 - 1 + dy + offset[0].item()
                        at_x = x + tap % 3 - 1 + dx + offset[1].item()
                        sampled.append(sample(features[source][part], at_y, at_x))
                    product = (q[frame, part, y, x] * sampled[0]).sum()
                    logits.append(product / size**0.5)
                    values.append(torch.as_tensor(sampled[1]).expand(size))
                weights = torch.stack(logits).softmax(0).unsqueeze(1)
                heads.append((weights * torch.stack(values)).sum(0))
            attended = torch.cat(heads)
            weight = module.project.weight.flatten(1)
            out[frame, :, y, x] = weight @ attended + module.project.bias
    hidden = F.gelu(linear(module.mlp[0], out))
    return out + linear(module.mlp[2], hidden), refined


def clip_inputs(height=5, width=6, channels=CHANNELS):
    query, key, value = (
        randn(1, 2, channels, height, width, seed=seed) for seed in range(3)
    )
    return query, key, value, 1.5 * randn(1, 2, 2, 2, height, width, seed=3)


class TestGuidedDeformableAttention:
    @torch.no_grad()
    def test_is_attention_to_moved_taps(self, randomised):
        module = randomised(GuidedDeformableAttention, CHANNELS, scale=0.2)
        inputs = clip_inputs()
        expected, refined = align_by_loops(module, *(x[0] for x in inputs))
        aligned, flows = module(*inputs)
        assert (refined - inputs[3][0]).abs().max() > 0.5, 'offsets must matter'
        torch.testing.assert_close(aligned[0], expected)
        torch.testing.assert_close(flows[0], refined)

    @torch.no_grad()
    def test_without_motion_it_is_attention_to_3x3_of_both_frames(self):
        torch.manual_seed(0)
        module = GuidedDeformableAttention(CHANNELS).double()
        query, key, value, flows = clip_inputs(7, 5)
        aligned, given = module(query, key, value, torch.zeros_like(flows))
        assert not given.any()
        q, k, v = (
            layer(x[0])
            for layer, x in (
                (module.query, query),
                (module.key, key),
                (module.value, value),
            )
        )
        size = CHANNELS // 6
        # (heads, size, 2 frames * 9 taps, pixels)
        k, v = (
            F.unfold(x, 3, padding=1)
            .view(2, HEADS, size, 9, -1)
            .permute(1, 2, 0, 3, 4)
            .flatten(2, 3)
            for x in (k, v)
        )
        q = q.view(2, HEADS, size, 1, -1)
        attention = ((q * k).sum(2, keepdim=True) / size**0.5).softmax(3)
        attended = (attention * v).sum(3).view(2, 2 * CHANNELS, 7, 5)
        expected = module.project(attended)
        expected = expected + module.mlp(expected)
        torch.testing.assert_close(aligned[0], expected)

    @pytest.mark.parametrize('with_cp', [False, True])
    def test_portions_and_checkpoints_change_nothing(
        self, randomised, monkeypatch, with_cp
    ):
        results = []
        for portion, checkpointed in ((2**26, False), (1, with_cp)):
            monkeypatch.setattr(alignment, 'SAMPLED_BYTES', portion)
            module = randomised(
                GuidedDeformableAttention, CHANNELS, with_cp=checkpointed
            )
            inputs = [x.requires_grad_() for x in clip_inputs()]
            aligned, flows = module(*inputs)
            (aligned.square().sum() + flows.square().sum()).backward()
            gradients = [x.grad for x in (*inputs, *module.parameters())]
            results.append([aligned, flows, *gradients])
        torch.testing.assert_close(*results)

    def test_half_precision_keeps_coordinates(self, randomised):
        module = randomised(GuidedDeformableAttention, CHANNELS).float()
        inputs = [x.float() for x in clip_inputs()]
        with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
            aligned, flows = module(*inputs)
        assert flows.dtype == torch.float32
        expected, _ = module(*inputs)
        assert (aligned - expected).abs().mean() < 0.05 * expected.abs().mean()

    def test_refuses_channels_that_do_not_divide(self):
        with pytest.raises(ValueError, match='a multiple of 6, got 8'):
            GuidedDeformableAttention(8)


class Pan(nn.Module):
    """A flow network for frames that all move alike."""

    def forward(self, reference, other):
        flow = reference.new_zeros(len(reference), 2, *reference.shape[-2:])
        # By frame, from the one of the higher mean, x then y.
        distance = (other - reference).mean((1, 2, 3), keepdim=True).round()
        return flow + distance * flow.new_tensor((1.0, -0.5)).view(2, 1, 1)


class Recorder(nn.Module):
    """An alignment that notes what it is given, and finds half a pixel more."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, query, key, value, flows):
        self.calls.append((query, key, value, flows))
        return 0.5 * value, flows + 0.5


def tiny(**settings):
    torch.manual_seed(0)
    return RVRT(channels=12, **settings).double().eval()


class TestRVRT:
    @pytest.mark.parametrize(
        ('settings', 'expected'),
        [({}, 12_909_223), (dict(channels=144, conv_groups=1), 10_782_295)],
    )
    def test_parameters_are_those_of_the_published_variants(self, settings, expected):
        with torch.device('meta'):
            network = RVRT(**settings)
        assert sum(p.numel() for p in network.parameters()) == expected

    @torch.no_grad()
    def test_branches_go_backward_and_forward_twice(self):
        network = tiny()
        network.spynet = Pan()
        recorders = [Recorder() for _ in range(4)]
        for branch, recorder in zip(network.branches, recorders, strict=True):
            branch.alignment = recorder
        # The mean of frame t is t, which Pan takes for its position.
        frames = torch.arange(6.0).double().view(1, 6, 1, 1, 1) * torch.ones(3, 9, 10)
        restored = network(frames)
        clips = frames.unflatten(1, (3, 2)).unbind(1)
        features = [[network.embedding(clip) for clip in clips]]
        for branch, recorder, direction in zip(
            network.branches, recorders, (-1, 1, -1, 1), strict=True
        ):
            order = (0, 1, 2)[::direction]
            outputs, previous, propagated = {}, None, None
            for step, index in enumerate(order):
                seen = [
                    feature[index].flip(1) if direction < 0 else feature[index]
                    for feature in features
                ]
                aligned = torch.zeros_like(seen[0])
                if step:
                    query, key, value, flows = recorder.calls[step - 1]
                    torch.testing.assert_close(query, seen[-1])
                    torch.testing.assert_close(key, previous)
                    torch.testing.assert_close(value, propagated)
                    # Of frames 2 and 3 to frames 0 and 1, or 1 and 0.
                    distances = -direction * torch.tensor([[2.0, 1.0], [2.0, 3.0]])
                    expected = torch.stack((distances, -0.5 * distances), dim=-1)
                    again = 0.5 * (recorder in recorders[2:])
                    inner = flows[0, ..., 3:-3, 3:-3]
                    expected = expected.double()[..., None, None] + again
                    torch.testing.assert_close(inner, expected.expand_as(inner))
                    aligned = 0.5 * propagated
                previous = seen[-1]
                inputs = torch.cat((*seen, aligned), dim=2)
                propagated = aligned + branch.block(inputs)
                outputs[index] = propagated.flip(1) if direction < 0 else propagated
            features.append([outputs[index] for index in range(3)])
        for index, clip in enumerate(clips):
            stacked = torch.cat([feature[index] for feature in features], dim=2)
            details = network.tail(network.fusion(stacked)[0])
            base = F.interpolate(clip[0], scale_factor=4, mode='bilinear')
            given = restored[0, 2 * index : 2 * index + 2]
            torch.testing.assert_close(given, base + details)

    @torch.no_grad()
    def test_the_last_frame_of_an_odd_clip_is_repeated(self):
        network = tiny()
        frames = randn(1, 3, 3, 8, 9)
        longer = network(torch.cat((frames, frames[:, 2:]), dim=1))
        mirrored = torch.cat((frames, frames.flip(1)), dim=1)
        network(mirrored)  # leaves nothing behind
        torch.testing.assert_close(network(frames), longer[:, :3])

    def test_each_output_depends_on_all_frames(self):
        network = tiny()
        frames = randn(1, 6, 3, 6, 6).requires_grad_()
        restored = network(frames)
        for index in (0, 5):
            (gradient,) = torch.autograd.grad(
                restored[:, index].sum(), frames, retain_graph=True
            )
            assert (gradient.abs().amax((2, 3, 4)) > 0).all()

    def test_checkpointed_training_has_the_same_gradients(self):
        frames = randn(1, 4, 3, 6, 7)
        gradients = []
        for with_cp in (False, True):
            network = tiny(with_cp=with_cp)
            network(frames).square().mean().backward()
            gradients.append([p.grad for p in network.parameters()])
        torch.testing.assert_close(*gradients)

    @torch.no_grad()
    def test_clips_of_any_size_are_restored_as_one(self):
        config = Config(
            dict(
                model=dict(type='RVRT', channels=12),
                restorer=dict(type='SequenceRestorer', scale=4),
            )
        )
        network = build_network(config).eval()
        clip = torch.rand(3, 3, 5, 2)
        restored = torch.stack([*build_restorer(network).restore(clip)])
        assert restored.shape == (3, 3, 20, 8)
        torch.testing.assert_close(restored, network(clip[None])[0])

    def test_refuses_numbers_that_do_not_fit(self):
        with pytest.raises(ValueError, match='num_heads must divide the 12 .* got 5'):
            RVRT(channels=12, num_heads=5)
        with pytest.raises(ValueError, match='conv_groups must divide .* got 5'):
            RVRT(channels=12, conv_groups=5)
