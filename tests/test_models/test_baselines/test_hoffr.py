"""The reconstruction of HOFFR against its plain formula."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import DATASETS, MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper

from fmanet_mm.models import HOFFR
from fmanet_mm.models.baselines.hoffr import PyramidFlowNet
from fmanet_mm.models.baselines.hoffr.pyramid_flow import warp_previous
from fmanet_mm.restoration import RecurrentRestorer, build_restorer
from fmanet_mm.restoration.loading import build_network

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/baselines'
SMALL = dict(channels=16, num_blocks=2, num_attention_blocks=1, flow_channels=4)


def small():
    torch.manual_seed(0)
    return HOFFR(**SMALL).double().eval()


def clip_of(num_frames, size=(8, 12)):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, num_frames, 3, *size, generator=generator).double()


def test_numbers_of_parameters():
    """As the paper's table prints them, 3.5 M."""
    with torch.device('meta'):
        network = build_network(Config.fromfile(CONFIGS / 'hoffr.py'))
    assert sum(p.numel() for p in network.parameters()) == 3_470_082
    assert sum(p.numel() for p in network.flow_net.parameters()) == 623_532


class Plain:
    """One step, operation by operation."""

    def __init__(self, network):
        self.weights = network.state_dict()

    def conv(self, x, name):
        weight = self.weights[f'{name}.weight']
        bias = self.weights.get(f'{name}.bias')
        return F.conv2d(x, weight, bias, padding=weight.size(-1) // 2)

    def trunk(self, x, name):
        x = self.conv(x, f'{name}.conv_in')
        outputs = []
        for block in range(2):
            features = [x]
            for layer in range(4):
                new = self.conv(
                    torch.cat(features, 1), f'{name}.blocks.{block}.convs.{layer}'
                )
                features.append(F.leaky_relu(new, 0.1))
            x = x + self.conv(torch.cat(features, 1), f'{name}.blocks.{block}.fusion')
            outputs.append(x)
        x = self.conv(torch.cat(outputs, 1), f'{name}.head.0')
        return self.conv(x, f'{name}.head.1')

    @staticmethod
    def warp(image, flow):
        """Bilinear, pixel by pixel, the border repeated."""
        height, width = image.shape[2:]
        out = torch.empty_like(image)
        for y in range(height):
            for x in range(width):
                row = (y + flow[0, 1, y, x]).clamp(0, height - 1).item()
                column = (x + flow[0, 0, y, x]).clamp(0, width - 1).item()
                out[:, :, y, x] = 0
                for i, part in ((int(row), 1 - row % 1), (int(row) + 1, row % 1)):
                    line = image[:, :, min(i, height - 1)]
                    left = line[..., int(column)]
                    right = line[..., min(int(column) + 1, width - 1)]
                    out[:, :, y, x] += part * torch.lerp(left, right, column % 1)
        return out

    def flow(self, frame, previous):
        half = self.trunk(
            torch.cat([F.avg_pool2d(x, 2) for x in (frame, previous)], 1),
            'flow_net.half_trunk',
        )

        def refine(flow, name):
            warped = self.warp(previous, flow)
            parts = (frame, previous, warped, frame - warped, flow)
            return self.trunk(torch.cat(parts, 1), f'flow_net.{name}_trunk')

        low = 2 * F.interpolate(half, scale_factor=2, mode='bilinear')
        low = low + refine(low, 'low')
        high = 4 * F.interpolate(low, scale_factor=4, mode='bilinear')
        return half, low, high + F.pixel_shuffle(refine(low, 'high'), 4)

    def block(self, x, name):
        return self.conv(F.relu(self.conv(x, f'{name}.conv_in')), f'{name}.conv_out')

    def branch(self, x, name):
        x = F.leaky_relu(self.conv(x, f'{name}.conv_in'), 0.1)
        outputs = []
        for block in range(2):
            x = x + self.block(x, f'{name}.blocks.{block}')
            outputs.append(x)
        return self.conv(torch.cat(outputs, 1), f'{name}.fusion')

    def step(self, frame, previous, last_output):
        bicubic = F.interpolate(frame, scale_factor=4, mode='bicubic', antialias=True)
        if previous is None:
            previous, last_output = frame, bicubic
        flow = self.flow(frame, previous)
        warped = self.warp(last_output, flow[2])
        phases = [
            warped[:, c, y::4, x::4]
            for c in range(3)
            for y in range(4)
            for x in range(4)
        ]
        inputs = torch.cat((torch.stack(phases, 1), frame), 1)
        sharp = self.branch(inputs, 'deblurring_branch')
        both = torch.cat((self.branch(inputs, 'sr_branch'), sharp), 1)
        x = self.conv(both, 'fusion.0')
        residual = self.block(x, 'fusion.1')
        mean = residual.mean((2, 3), keepdim=True)
        hidden = F.relu(self.conv(mean, 'fusion.1.attention.1'))
        x = x + residual * self.conv(hidden, 'fusion.1.attention.3').sigmoid()
        for layer in (0, 2):
            x = F.pixel_shuffle(self.conv(x, f'upsampler.{layer}'), 2)
        output = self.conv(x, 'upsampler.4') + bicubic
        return output, self.conv(sharp, 'deblurring_head') + frame, flow


@torch.no_grad()
def test_is_the_plain_formula():
    network, clip = small(), clip_of(2, (4, 6))
    for name, weight in network.named_parameters():
        if 'head.1' in name:
            weight.mul_(4)  # flow of more than a pixel
    plain, previous, output = Plain(network), None, None
    for frame, step in zip(clip.unbind(1), network.unroll(clip), strict=True):
        output, deblurred, flow = plain.step(frame, previous, output)
        previous = frame
        torch.testing.assert_close(step.output, output)
        torch.testing.assert_close(step.deblurred, deblurred)
        for given, expected in zip(step.flow, flow, strict=True):
            torch.testing.assert_close(given, expected)
    assert flow[2].abs().max() > 1
    torch.testing.assert_close(network(clip)[:, 1], output)


@torch.no_grad()
def test_flow_is_in_pixels_of_its_size_and_leads_to_the_frame_before():
    net = PyramidFlowNet(4, 4).double()
    for name, weight in net.named_parameters():
        weight.zero_()
        if name == 'half_trunk.head.1.bias':
            weight[:] = torch.tensor([1.0, -0.5])
    previous = clip_of(1)[:, 0]
    frame = previous.roll((-2, 1), (3, 2))  # shows what was 2 right and 1 above
    flow = net(frame, previous)
    for level, factor in zip(flow, (1, 2, 8), strict=True):
        expected = torch.tensor([1.0, -0.5]).double().view(1, 2, 1, 1) * factor
        torch.testing.assert_close(level, expected.expand_as(level))
    assert [level.size(-1) for level in flow] == [6, 12, 48]
    warped = warp_previous(previous, flow.low)
    torch.testing.assert_close(warped[..., 1:, :-2], frame[..., 1:, :-2])
    torch.testing.assert_close(warped[..., 1:, -1], previous[..., :-1, -1])


@pytest.fixture(scope='module')
def config():
    """Training on synthetic scenes, of a small network on small windows."""
    config = Config.fromfile(CONFIGS / 'hoffr_synthetic.py')
    config.model.generator.update(SMALL)
    config.train_dataloader.dataset.update(size=(16, 16), num_input_frames=3)
    config.train_dataloader.dataset.pipeline[0].patch_size = 12
    return config


@torch.no_grad()
def test_losses_are_those_of_sharp_frames(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    inputs, sharp = clip_of(3).float(), clip_of(3, (32, 48)).float()
    losses = model(inputs, DataSample(gt_img=sharp), mode='loss')
    steps = list(model.generator.unroll(inputs))
    low = [
        F.interpolate(sharp[:, t], size=(8, 12), mode='bicubic', antialias=True)
        for t in range(3)
    ]
    expected = dict(
        restoration=sum(F.mse_loss(steps[t].output, sharp[:, t]) for t in range(3)) / 3,
        deblurring=sum(F.mse_loss(steps[t].deblurred, low[t]) for t in range(3)) / 3,
        flow_high=0.01 * 0.5 * sum(
            F.mse_loss(warp_previous(sharp[:, t - 1], steps[t].flow.high), sharp[:, t])
            for t in (1, 2)
        ),
        flow_low=0.0025 * 0.5 * sum(
            F.mse_loss(warp_previous(low[t - 1], steps[t].flow.low), low[t])
            for t in (1, 2)
        ),
        flow_half=0.00125 * 0.5 * sum(
            F.mse_loss(
                warp_previous(F.avg_pool2d(low[t - 1], 2), steps[t].flow.half),
                F.avg_pool2d(low[t], 2),
            )
            for t in (1, 2)
        ),
    )  # fmt: skip
    assert losses.keys() == {f'loss_{name}' for name in expected}
    for name, value in expected.items():
        torch.testing.assert_close(losses[f'loss_{name}'], value)


def test_a_step_of_training_lowers_the_loss_and_moves_every_part(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    batch = pseudo_collate([DATASETS.build(config.train_dataloader.dataset)[0]])
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    loss = model.train_step(batch, optimizer)['loss']
    with torch.no_grad():
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert model.parse_losses(losses)[0] < loss
    for name, weight in model.named_parameters():
        # The one hidden channel of so small an attention may be at rest.
        if 'attention' not in name:
            assert not torch.equal(weight, before[name]), name


@torch.no_grad()
def test_a_stream_equals_the_clip(config):
    """Also of odd height and width, which are padded."""
    torch.manual_seed(0)
    network = build_network(config).eval()
    restorer = build_restorer(network)
    clip = clip_of(3, (7, 9)).float()[0]
    padded = F.pad(clip, (0, 1, 0, 1), mode='replicate')
    expected = network(padded[None])[0, ..., :28, :36]
    for _ in range(2):
        given = torch.stack(list(restorer.restore(clip)))
        torch.testing.assert_close(given, expected)
    alone = next(restorer.restore(clip[2:]))
    assert (alone - expected[2]).abs().max() > 1e-3, 'the state must matter'


def test_half_precision_is_close():
    network, clip = small().float(), clip_of(2).float()[0]
    expected = torch.stack(list(RecurrentRestorer(network).restore(clip)))
    restorer = RecurrentRestorer(network, autocast_dtype=torch.bfloat16)
    half = torch.stack(list(restorer.restore(clip)))
    assert 0 < (half - expected).abs().max() < 0.05


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match='even height and width, got 9x8; pad them'):
        small()(clip_of(1, (8, 9)))
