"""EDVR with pre-deblurring: MMagic's values, and BasicSR's names of weights."""

import re

import pytest
import torch
import torch.nn.functional as F
from mmagic.models.editors.edvr.edvr_net import EDVRNet
from mmengine.config import Config

from fmanet_mm.models import PredeblurEDVR
from fmanet_mm.models.baselines.edvr_weights import convert_edvr, convert_file
from fmanet_mm.restoration.loading import load_restorer
from fmanet_mm.restoration.streaming import StreamingRestorer
from fmanet_mm.utils import config_root

CONFIG = config_root() / 'baselines/edvr_predeblur.py'
TINY = dict(
    channels=8,
    num_frames=3,
    deform_groups=2,
    num_extraction_blocks=2,
    num_reconstruction_blocks=3,
)


def basicsr_shapes(
    channels,
    num_frames,
    deform_groups,
    num_extraction_blocks,
    num_reconstruction_blocks,
):
    """Shapes of BasicSR's parameters, by their names there."""
    convs = {}

    def conv(name, out_channels=channels, in_channels=channels, size=3):
        convs[name] = (out_channels, in_channels, size, size)

    def block(name):
        conv(f'{name}.conv1')
        conv(f'{name}.conv2')

    def deformable(name):
        conv(name)
        conv(f'{name}.conv_offset', 27 * deform_groups)

    conv('predeblur.conv_first', in_channels=3)
    conv('predeblur.stride_conv_l2')
    conv('predeblur.stride_conv_l3')
    for name in ('l3', 'l2_1', 'l2_2', *(f'l1.{n}' for n in range(5))):
        block(f'predeblur.resblock_{name}')
    conv('conv_1x1', size=1)
    for name, count in (
        ('feature_extraction', num_extraction_blocks),
        ('reconstruction', num_reconstruction_blocks),
    ):
        for index in range(count):
            block(f'{name}.{index}')
    for name in ('conv_l2_1', 'conv_l2_2', 'conv_l3_1', 'conv_l3_2'):
        conv(name)
    for level in ('l3', 'l2', 'l1'):
        conv(f'pcd_align.offset_conv1.{level}', in_channels=2 * channels)
        deformable(f'pcd_align.dcn_pack.{level}')
        if level == 'l3':
            conv(f'pcd_align.offset_conv2.{level}')
        else:
            conv(f'pcd_align.offset_conv2.{level}', in_channels=2 * channels)
            conv(f'pcd_align.offset_conv3.{level}')
            conv(f'pcd_align.feat_conv.{level}', in_channels=2 * channels)
    conv('pcd_align.cas_offset_conv1', in_channels=2 * channels)
    conv('pcd_align.cas_offset_conv2')
    deformable('pcd_align.cas_dcnpack')
    conv('fusion.temporal_attn1')
    conv('fusion.temporal_attn2')
    for name in ('feat_fusion', 'spatial_attn1'):
        conv(f'fusion.{name}', in_channels=num_frames * channels, size=1)
    conv('fusion.spatial_attn2', in_channels=2 * channels, size=1)
    conv('fusion.spatial_attn_l2', in_channels=2 * channels)
    for name in ('attn3', 'attn5', 'attn_l3'):
        conv(f'fusion.spatial_{name}')
    for name in ('attn4', 'attn_l1', 'attn_add1', 'attn_add2'):
        conv(f'fusion.spatial_{name}', size=1)
    conv('upconv1', 4 * channels)
    conv('upconv2', 256)
    conv('conv_hr', 64, 64)
    conv('conv_last', 3, 64)
    shapes = {f'{name}.weight': shape for name, shape in convs.items()}
    return shapes | {f'{name}.bias': shape[:1] for name, shape in convs.items()}


def random_weights(**sizes):
    """BasicSR's parameters, random."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: 0.3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in basicsr_shapes(**sizes).items()
    }


def in_mmagic(name):
    """MMagic's name for a parameter of BasicSR's."""
    activated = r'(feat_fusion|spatial_attn[1-4]|spatial_attn_l\d|spatial_attn_add1)'
    for pattern, replacement in {
        r'^conv_l(\d)_(\d)': r'feat_l\1_conv\2.conv',
        r'^upconv(\d)': r'upsample\1.upsample_conv',
        r'^pcd_align\.': 'pcd_alignment.',
        r'((offset_conv\d|feat_conv)\.l\d|cas_offset_conv\d)': r'\1.conv',
        rf'^fusion\.{activated}\.': r'fusion.\1.conv.',
    }.items():
        name = re.sub(pattern, replacement, name)
    return name


def predeblur(weights, x):
    """The pyramid before the network, in plain functions."""

    def conv(name, x, stride=1):
        weight, bias = (weights[f'{name}.{kind}'] for kind in ('weight', 'bias'))
        return F.conv2d(x, weight, bias, stride, weight.size(-1) // 2)

    def block(name, x):
        name = f'predeblur.resblock_{name}'
        return x + conv(f'{name}.conv2', conv(f'{name}.conv1', x).relu())

    def up(x):
        return F.interpolate(x, scale_factor=2, mode='bilinear')

    a = F.leaky_relu(conv('predeblur.conv_first', x), 0.1)
    b = F.leaky_relu(conv('predeblur.stride_conv_l2', a, 2), 0.1)
    c = F.leaky_relu(conv('predeblur.stride_conv_l3', b, 2), 0.1)
    b = block('l2_1', b) + up(block('l3', c))
    a = block('l1.1', block('l1.0', a)) + up(block('l2_2', b))
    for index in (2, 3, 4):
        a = block(f'l1.{index}', a)
    return conv('conv_1x1', a)


def build(weights):
    network = PredeblurEDVR(**TINY).double().eval()
    network.load_state_dict(convert_edvr(weights))
    return network


@pytest.fixture
def weights():
    return random_weights(**TINY)


@torch.no_grad()
def test_with_basicsrs_weights_it_is_the_pyramid_and_mmagics_edvr(weights):
    theirs = EDVRNet(
        3,
        3,
        mid_channels=8,
        num_frames=3,
        deform_groups=2,
        num_blocks_extraction=2,
        num_blocks_reconstruction=3,
        center_frame_idx=1,
    ).double()
    known = {
        in_mmagic(name): weight
        for name, weight in weights.items()
        if not name.startswith(('predeblur', 'conv_1x1'))
    }
    missing, unexpected = theirs.load_state_dict(known, strict=False)
    assert missing == ['conv_first.weight', 'conv_first.bias'] and not unexpected

    class Front(torch.nn.Module):
        """What MMagic's LeakyReLU, which BasicSR lacks here, makes the pyramid of."""

        def forward(self, x):
            feature = predeblur(weights, x)
            return torch.where(feature > 0, feature, 10 * feature)

    theirs.conv_first = Front()
    frames = torch.rand(2, 3, 3, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(build(weights)(frames), theirs(frames))


def test_the_configs_network_has_basicsrs_shapes():
    settings = Config.fromfile(CONFIG).model.generator
    assert settings.pop('type') == 'PredeblurEDVR'
    shapes = basicsr_shapes(**settings)
    with torch.device('meta'):
        given = PredeblurEDVR(**settings).state_dict()
        converted = convert_edvr({n: torch.empty(s) for n, s in shapes.items()})
    assert {name: value.shape for name, value in given.items()} == {
        name: value.shape for name, value in converted.items()
    }
    assert sum(value.numel() for value in given.values()) == 23_306_851


@torch.no_grad()
def test_a_stream_encodes_frames_of_any_size_once(weights):
    network = build(weights)
    calls = []
    network.predeblur.register_forward_hook(lambda *args: calls.append(args))
    clip = torch.rand(4, 3, 6, 9, dtype=torch.float64)
    restored = [*StreamingRestorer(network, memory_budget=1).restore(clip)]
    # All but those by which the memory is planned.
    assert len([args for args in calls if not args[2].is_meta]) == len(clip)
    for index, places in enumerate(([0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3])):
        expected = network(clip[places][None])[0]
        assert restored[index].shape == (3, 24, 36)
        torch.testing.assert_close(restored[index], expected)


def test_a_stream_in_batches_gives_the_same(weights):
    network = build(weights)
    clip = torch.rand(3, 3, 6, 9, dtype=torch.float64)
    given, expected = (
        [*StreamingRestorer(network, 1, batch_size=size).restore(clip)]
        for size in (2, 1)
    )
    torch.testing.assert_close(given, expected)


@torch.no_grad()
def test_half_precision_is_close(weights):
    network = build(weights).float()
    clip = torch.rand(3, 3, 8, 8)
    half = StreamingRestorer(network, memory_budget=1, autocast_dtype=torch.bfloat16)
    given = [*half.restore(clip)][1]
    expected = network(clip[None])[0]
    assert (given - expected).abs().mean() < 0.1 * expected.std()


def test_at_first_taps_stay_in_their_places_and_blocks_do_little():
    torch.manual_seed(0)
    network = PredeblurEDVR(**TINY)
    deform = network.alignment.cascade_deform
    x = torch.randn(1, 8, 4, 4)
    expected = F.conv2d(x, 0.5 * deform.weight, deform.bias, padding=1)
    torch.testing.assert_close(deform(x, x), expected)
    assert (network.reconstruction(x) - x).std() < 0.1


@pytest.fixture
def files(tmp_path, weights):
    """BasicSR's file, of a tiny network, and a config of its sizes."""
    config = Config.fromfile(CONFIG)
    config.model.generator = dict(type='PredeblurEDVR', **TINY)
    config.dump(tmp_path / 'tiny.py')
    torch.save(dict(params=weights), tmp_path / 'basicsr.pth')
    return tmp_path / 'tiny.py', tmp_path / 'basicsr.pth', tmp_path / 'out.pth'


def test_a_converted_file_restores_clips(files, weights):
    config, _, out = files
    convert_file(*files)
    restorer = load_restorer(out, config, device='cpu')
    clip = torch.rand(3, 3, 8, 8)
    with torch.no_grad():
        expected = build(weights).float()(clip[None])[0]
    torch.testing.assert_close([*restorer.restore(clip)][1], expected)


def test_files_that_do_not_fit_are_refused(files, weights):
    config, file, out = files
    name = 'conv_hr.bias'
    for bad, message in (
        (weights | {'extra.weight': torch.zeros(1)}, 'not known to .* .extra.weight'),
        ({k: v for k, v in weights.items() if k != name}, 'missing .conv_hr.bias'),
        (weights | {name: torch.zeros(3)}, 'another shape .conv_hr.bias'),
        ([1], 'must be a dict of weights'),
    ):
        torch.save(dict(params=bad), file)
        with pytest.raises(ValueError, match=message) as error:
            convert_file(config, file, out)
        assert str(file) in str(error.value)
    torch.save(dict(state_dict=weights), file)
    with pytest.raises(ValueError, match="has no 'params'.*'state_dict'"):
        convert_file(config, file, out)
    with pytest.raises(FileNotFoundError, match='nowhere'):
        convert_file(config, file.with_name('nowhere.pth'), out)
    assert not out.exists()


def test_refuses_an_even_window_and_groups_that_do_not_fit():
    with pytest.raises(ValueError, match='num_frames must be odd, got 4'):
        PredeblurEDVR(num_frames=4)
    with pytest.raises(ValueError, match='divide the 8 channels, got 3'):
        PredeblurEDVR(channels=8, deform_groups=3)
