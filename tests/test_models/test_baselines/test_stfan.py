"""STFAN against its plain formula in the released names, and its forms."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from mmagic.registry import DATASETS, MODELS
from mmagic.structures import DataSample
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from torch import nn

from fmanet_mm.models import STFAN, BicubicUpsampling, STFANOnBicubic, STFANOnLR
from fmanet_mm.models.baselines.stfan.official_weights import (
    convert_stfan,
    convert_stfan_file,
)
from fmanet_mm.ops import Strips
from fmanet_mm.restoration import RecurrentRestorer, build_restorer
from fmanet_mm.restoration.loading import build_network, load_network
from fmanet_mm.utils.checkpoint import load_state_dict_file

CONFIGS = Path(__file__).resolve().parents[3] / 'configs/baselines'
SMALL = dict(widths=(4, 6, 8), kernel_size=3)
FORMS = (STFAN, STFANOnBicubic, STFANOnLR)


def small(form):
    torch.manual_seed(0)
    return form(**SMALL).double().eval()


def clip_of(num_frames, size=(8, 12)):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(num_frames, 1, 3, *size, generator=generator).double()


# The released network, layer by layer, in its own names and colours.

CONVS = {
    **{'kconv1_1': (9, 32, 3), 'kconv2_1': (32, 64, 3), 'kconv3_1': (64, 128, 3)},
    **{'conv1_1': (3, 32, 3), 'conv2_1': (32, 64, 3), 'conv3_1': (64, 128, 3)},
    **{'fac_warp.0': (128, 128, 3), 'fac_warp.3': (128, 3200, 1)},
    **{'fac_deblur.0': (256, 128, 3), 'fac_deblur.3': (128, 3200, 1)},
    **{'kconv4': (3200, 128, 1), 'fea': (256, 128, 3), 'img_prd': (32, 3, 3)},
}
RESIDUAL = {
    **{
        f'{k}conv{n}_{i}': 16 * 2**n for k in ('', 'k') for n in (1, 2, 3) for i in '23'
    },
    **{f'{name}.{i}': 128 for name in ('fac_warp', 'fac_deblur') for i in '12'},
    **{f'upconv{n}_{i}': 32 * n for n in (1, 2) for i in '12'},
}
TRANSPOSED = dict(upconv2_u=(256, 64), upconv1_u=(64, 32))


@pytest.fixture(scope='module')
def released():
    """Random weights in the names of the released file."""
    generator = torch.Generator().manual_seed(0)
    shapes = {}
    for name, (i, o, k) in CONVS.items():
        shapes[f'{name}.0'] = (o, i, k, k), o
    for name, channels in RESIDUAL.items():
        for layer in (0, 2):
            shapes[f'{name}.stem.{layer}'] = (channels, channels, 3, 3), channels
    for name, (i, o) in TRANSPOSED.items():
        shapes[f'{name}.0'] = (i, o, 4, 4), o
    weights = {}
    for name, (shape, channels) in shapes.items():
        width = 2 / torch.Size(shape[1:]).numel() ** 0.5
        weights[f'module.{name}.weight'] = width * (
            torch.rand(shape, generator=generator) - 0.5
        )
        weights[f'module.{name}.bias'] = 0.1 * torch.rand(channels, generator=generator)
    return weights


class Plain:
    """One step in the released names, BGR; the FAC layer by unfolding."""

    def __init__(self, weights):
        self.weights = {name: weight.double() for name, weight in weights.items()}

    def layer(self, name):
        return (self.weights[f'module.{name}.{part}'] for part in ('weight', 'bias'))

    def conv(self, x, name, stride=1):
        weight, bias = self.layer(f'{name}.0')
        padding = weight.size(-1) // 2
        return F.leaky_relu(F.conv2d(x, weight, bias, stride, padding), 0.1)

    def residual(self, x, name):
        hidden = F.conv2d(x, *self.layer(f'{name}.stem.0'), padding=1)
        hidden = F.leaky_relu(hidden, 0.1)
        return x + F.conv2d(hidden, *self.layer(f'{name}.stem.2'), padding=1)

    def up(self, x, name):
        weight, bias = self.layer(f'{name}.0')
        return F.leaky_relu(F.conv_transpose2d(x, weight, bias, 2, 1), 0.1)

    def encode(self, x, kind):
        for level, stride in ((1, 1), (2, 2), (3, 2)):
            x = self.conv(x, f'{kind}{level}_1', stride)
            x = self.residual(self.residual(x, f'{kind}{level}_2'), f'{kind}{level}_3')
        return x

    def filters(self, x, name):
        x = self.conv(x, f'{name}.0')
        x = self.residual(self.residual(x, f'{name}.1'), f'{name}.2')
        return self.conv(x, f'{name}.3')

    @staticmethod
    def fac(feature, filters):
        padded = F.pad(feature, (2, 2, 2, 2), mode='replicate')
        patches = F.unfold(padded, 5).view(1, 128, 25, *feature.shape[2:])
        return (patches * filters.view_as(patches)).sum(2)

    def step(self, image, last_image, last_output, last_feature):
        seen = self.encode(torch.cat((image, last_image, last_output), 1), 'kconv')
        align = self.filters(seen, 'fac_warp')
        both = torch.cat((seen, self.conv(align, 'kconv4')), 1)
        deblur = self.filters(both, 'fac_deblur')
        feature = self.encode(image, 'conv')
        if last_feature is None:
            last_feature = torch.cat((feature, feature), 1)
        aligned = self.fac(self.conv(last_feature, 'fea'), align)
        feature = torch.cat((self.fac(feature, deblur), aligned), 1)
        x = self.up(feature, 'upconv2_u')
        x = self.residual(self.residual(x, 'upconv2_2'), 'upconv2_1')
        x = self.up(x, 'upconv1_u')
        x = self.residual(self.residual(x, 'upconv1_2'), 'upconv1_1')
        return self.conv(x, 'img_prd') + image, feature


@torch.no_grad()
def test_converted_weights_give_the_released_networks_output(released):
    assert sum(weight.numel() for weight in released.values()) == 5_372_547
    network = STFAN().double()
    network.load_state_dict(convert_stfan(released))
    plain, feature = Plain(released), None
    images = clip_of(3)
    outputs, last = [], (images[0].flip(1), images[0].flip(1))
    for image in images:
        output, feature = plain.step(image.flip(1), *last, feature)
        last = image.flip(1), output.clamp(0, 1)
        outputs.append(output.flip(1))
    given = network(images.transpose(0, 1))[0]
    torch.testing.assert_close(given, torch.cat(outputs))
    assert (torch.cat(outputs) - images[:, 0]).abs().mean() > 0.01
    unconverted = convert_stfan(released)
    name = 'filter_encoder.0.0.0.weight'
    unconverted[name] = unconverted[name].flip(1)  # also the order of the images
    network.load_state_dict(unconverted)
    assert (network(images.transpose(0, 1))[0] - given).abs().max() > 1e-4


def test_a_released_file_becomes_a_checkpoint(released, tmp_path):
    source, out = tmp_path / 'best-ckpt.pth.tar', tmp_path / 'new' / 'stfan.pth'
    torch.save(dict(epoch_idx=1, deblurnet_state_dict=released), source)
    convert_stfan_file(source, out)
    expected = convert_stfan(released)
    for name in ('stfan_deblurring', 'stfan_bicubic'):
        network = load_network(out, CONFIGS / f'{name}.py')
        for key, weight in network.state_dict().items():
            assert torch.equal(weight, expected[key])
    with pytest.raises(ValueError, match=r'prediction\.0\.weight'):
        load_network(out, CONFIGS / 'stfan_lr.py')
    # As load_from of a training does.
    model = MODELS.build(Config.fromfile(CONFIGS / 'stfan_bicubic.py').model)
    model.load_state_dict(load_state_dict_file(out))


def test_other_files_are_refused(released, tmp_path):
    source, out = tmp_path / 'file.pth.tar', tmp_path / 'out.pth'
    torch.save(dict(state_dict=released), source)
    with pytest.raises(ValueError, match="has no 'deblurnet_state_dict'.*state_dict"):
        convert_stfan_file(source, out)
    extra = released | {'module.extra.weight': torch.zeros(1)}
    torch.save(dict(deblurnet_state_dict=extra), source)
    with pytest.raises(ValueError, match=r'does not fit STFAN: .*\(extra\.weight\)'):
        convert_stfan_file(source, out)
    del extra['module.extra.weight'], extra['module.fea.0.bias']
    torch.save(dict(deblurnet_state_dict=extra), source)
    with pytest.raises(ValueError, match=r'missing \(carry_embedding\.0\.bias\)'):
        convert_stfan_file(source, out)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        convert_stfan_file(tmp_path / 'nowhere', out)
    assert not out.exists()


@pytest.mark.parametrize(
    ('form', 'parameters'),
    [(STFAN, 5_372_547), (STFANOnBicubic, 5_372_547), (STFANOnLR, 5_446_531)],
)
def test_numbers_of_parameters(form, parameters):
    with torch.device('meta'):
        assert sum(p.numel() for p in form().parameters()) == parameters


@torch.no_grad()
def test_on_bicubic_frames_it_is_the_same_network():
    network, plain = small(STFANOnBicubic), small(STFAN)
    clip = clip_of(2, (3, 5)).transpose(0, 1)
    enlarged = [BicubicUpsampling(4)(frame[:, None]) for frame in clip.unbind(1)]
    expected = plain(torch.stack(enlarged, 1))
    assert network(clip).shape == (1, 2, 3, 12, 20)
    torch.testing.assert_close(network(clip), expected)


@torch.no_grad()
def test_on_lr_frames_pixel_shuffles_enlarge():
    network = small(STFANOnLR)
    first, second = clip_of(2)
    output, state = network.step(first)
    x = network.decoder(state.feature)
    convs = [m for m in network.prediction if hasattr(m, 'weight')]
    x = F.pixel_shuffle(F.conv2d(x, convs[0].weight, convs[0].bias, padding=1), 2)
    x = F.leaky_relu(x, 0.1)
    x = F.pixel_shuffle(F.conv2d(x, convs[1].weight, convs[1].bias, padding=1), 2)
    x = F.conv2d(x, convs[2].weight, convs[2].bias, padding=1)
    bilinear = F.interpolate(first, scale_factor=4, mode='bilinear')
    torch.testing.assert_close(output, x + bilinear)
    # The next step sees the output, shrunk bicubically, in place of the frame.
    shrunk = F.interpolate(
        output.clamp(0, 1), size=(8, 12), mode='bicubic', antialias=True
    )
    torch.testing.assert_close(state.restored, shrunk)
    assert state.frame is first
    assert network.step(second, state)[0].shape == (1, 3, 32, 48)


@pytest.mark.parametrize('rows', [1, 3])
@pytest.mark.parametrize('form', FORMS)
@torch.no_grad()
def test_strips_change_nothing(form, rows):
    """Of a quarter-size grid of 27 rows, more than any part reads around a row."""
    network = small(form)
    height = 27 if form is STFANOnBicubic else 108
    first, second = clip_of(2, (height, 8))
    output, state = network.step(first)
    expected = (output, *state, *network.step(second, state)[1])
    output, state = network.step(first, None, Strips(rows))
    given = (output, *state, *network.step(second, state, Strips(rows))[1])
    for a, b in zip(given, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize('form', FORMS)
def test_checkpointing_changes_no_gradient(form):
    clip = clip_of(2).transpose(0, 1)
    gradients = []
    for with_cp in (False, True):
        network = small(form)
        network.with_cp = with_cp
        network(clip).square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_stay_within_a_frame():
    network = small(STFAN)
    first, second = clip_of(2)
    state = network.step(first)[1]
    assert not any(tensor.requires_grad for tensor in state)
    restored = network.step(second, state)[1].restored
    assert 0 <= restored.min() <= restored.max() <= 1


@pytest.mark.parametrize('form', FORMS)
def test_half_precision_is_close_and_fits_into_a_budget(form):
    network, clip = small(form).float(), clip_of(2, (16, 12)).float()[:, 0]
    expected = torch.stack(list(RecurrentRestorer(network).restore(clip)))
    for budget in (None, 1e-6):
        restorer = RecurrentRestorer(network, 1, 1, budget, torch.bfloat16)
        half = torch.stack(list(restorer.restore(clip)))
        assert 0 < (half - expected).abs().max() < 0.02
        assert restorer.strips.rows == (budget and 8)


def test_sizes_that_are_no_multiple_of_4_are_refused():
    with pytest.raises(ValueError, match='multiples of 4 pixels, got 10x8; pad them'):
        STFAN(**SMALL)(torch.rand(1, 2, 3, 8, 10))


@pytest.fixture(scope='module')
def config():
    """Training on synthetic scenes, of a small network on small windows."""
    config = Config.fromfile(CONFIGS / 'stfan_bicubic_synthetic.py')
    config.model.generator.update(SMALL)
    config.train_dataloader.dataset.update(size=(16, 16), num_input_frames=3)
    config.train_dataloader.dataset.pipeline[0].patch_size = 12
    return config


def test_a_step_of_training_lowers_the_loss(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    batch = pseudo_collate([DATASETS.build(config.train_dataloader.dataset)[0]])
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    data = model.data_preprocessor(batch, True)
    with torch.no_grad():
        outputs = model(data['inputs'])
    expected = F.mse_loss(outputs, data['data_samples'].gt_img)
    loss = model.train_step(batch, optimizer)['loss_restoration']
    torch.testing.assert_close(loss, expected)
    with torch.no_grad():
        assert model(**data, mode='loss')['loss_restoration'] < loss


def test_the_perceptual_loss_compares_features_before_their_relu(config, monkeypatch):
    """With random layers in place of VGG19's, which would be downloaded."""
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3), nn.Conv2d(5, 6, 3)]
    relu = nn.ReLU(inplace=True)
    features = nn.Sequential(convs[0], relu, convs[1], relu, nn.MaxPool2d(2), convs[2])
    monkeypatch.setattr(
        'torchvision.models.vgg19', lambda weights: SimpleNamespace(features=features)
    )
    changed = copy.deepcopy(config.model)
    changed.losses.perceptual = dict(
        type='VGGFeatureLoss', loss_weight=0.5, layer_weights={0: 1.0, 2: 0.2, 5: 0.04}
    )
    model = MODELS.build(changed)
    inputs, sharp = clip_of(2).float(), clip_of(2, (32, 48)).float()
    inputs, sharp = inputs.transpose(0, 1), sharp.transpose(0, 1)
    losses = model(inputs, DataSample(gt_img=sharp), mode='loss')
    expected, pair = 0, [2 * images[0] - 1 for images in (model(inputs), sharp)]
    for conv, weight in zip(convs, (1.0, 0.2, 0.04), strict=True):
        a, b = (conv(images) for images in pair)
        expected = expected + 0.5 * weight * (a - b).square().mean()
        pair = [F.relu(a), F.relu(b)]
        if conv is convs[1]:
            pair = [F.max_pool2d(images, 2) for images in pair]
    torch.testing.assert_close(losses['loss_perceptual'], expected)
    losses['loss_perceptual'].backward()
    assert model.generator.prediction[0].weight.grad.abs().max() > 0
    assert all(weight.grad is None for weight in features.parameters())
    names = MODELS.build(config.model).state_dict()
    assert model.state_dict().keys() == names.keys()


@torch.no_grad()
def test_measured_is_the_centre_frame_as_a_clip_gives_it(config):
    torch.manual_seed(0)
    model = MODELS.build(config.model).eval()
    window = clip_of(5, (6, 7)).float().transpose(0, 1)
    given = model.forward_inference(window, None)['pred_img']
    torch.testing.assert_close(given, model(window)[:, 2])
    window[:, 3:] = 0
    assert torch.equal(given, model.forward_inference(window, None)['pred_img'])


@pytest.mark.parametrize('name', ['stfan_deblurring', 'stfan_bicubic', 'stfan_lr'])
@torch.no_grad()
def test_a_stream_equals_the_clip(name):
    """Also at sizes that are padded; the state is that of the clip alone."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    config.model.generator.update(SMALL)
    torch.manual_seed(0)
    network = build_network(config).eval()
    restorer = build_restorer(network)
    clip = clip_of(3, (6, 9)).float()[:, 0]
    expected = clip.unsqueeze(0)
    if name != 'stfan_bicubic':
        expected = F.pad(clip, (0, 3, 0, 2), mode='replicate').unsqueeze(0)
    expected = network(expected)[0]
    scale = 1 if name == 'stfan_deblurring' else 4
    expected = expected[..., : scale * 6, : scale * 9]
    for _ in range(2):
        given = torch.stack(list(restorer.restore(clip)))
        torch.testing.assert_close(given, expected)
    alone = next(restorer.restore(clip[2:]))
    assert (alone - expected[2]).abs().max() > 1e-4, 'the state must matter'
