"""The plain form against the authors' numbers and the package's networks."""

import ast
import importlib.util
from pathlib import Path

import golden
import pytest
import torch

from fmanet_mm.models import NetD, NetR
from fmanet_mm.models.common.layers import per_frame
from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r

PLAIN_FILE = Path(__file__).parents[2] / 'benchmarks' / 'plain.py'


@pytest.fixture(scope='module')
def plain():
    spec = importlib.util.spec_from_file_location('plain_fmanet', PLAIN_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build_plain(plain, data):
    net = plain.PlainFMANet(**data['config'])
    net.load_state_dict(data['state_dict'])
    return net


@torch.no_grad()
def fast_outputs(net_d, net_r, x, y):
    """The same outputs from the package's networks; arrays are (N, C, T, H, W)."""
    x, y = golden.frames(x), golden.frames(y)
    degradation = net_d(x)
    image_pair = net_d.image_flow_mask(degradation.flow_masks)
    kernels = net_d.kernels(degradation.kernel_feature)
    recon, hr_warp = net_d.degrade(y, image_pair, kernels)
    restoration = net_r(x, degradation, kernels)
    return dict(
        image_flow=golden.frames(image_pair[:, :, :2]),
        F_sharp_D=golden.frames(per_frame(net_d.anchor, degradation.feature)),
        recon=recon,
        hr_warp=golden.frames(hr_warp),
        output=restoration.output,
        lr_warp=golden.frames(restoration.warped_frames),
        F_sharp_R=golden.frames(per_frame(net_r.anchor, restoration.feature)),
    )


def assert_same(outputs, expected, tolerance):
    assert outputs.keys() == expected.keys()
    for name in expected:
        error = (outputs[name] - expected[name]).abs().max().item()
        assert error < tolerance, f'{name} differs by {error}'


def test_plain_form_is_independent():
    tree = ast.parse(PLAIN_FILE.read_text())
    imported = {
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert {name.split('.')[0] for name in imported} == {'torch'}


@pytest.mark.parametrize('name', ['tiny_stage1', 'tiny_stage2'])
@torch.no_grad()
def test_tiny_golden(plain, name):
    data = golden.load(name)
    outputs = build_plain(plain, data)(data['x'], data['y'])
    assert_same(outputs, data['outputs'], 5e-5)


@torch.no_grad()
def test_full_size_golden_and_package(plain):
    """Random weights amplify rounding, so the package is compared in float64.

    In float32, on a CPU like the one that made the golden numbers, the largest
    difference is 1.4e-6; a convolution that adds up in another order makes it 1e-3.
    """
    data = golden.load('full_stage2')
    net = build_plain(plain, data)
    assert sum(p.numel() for p in net.parameters()) == 9_766_503
    assert_same(net(data['x'], data['y']), data['outputs'], 2.5e-3)
    x, y = data['x'].double(), data['y'].double()
    fast = fast_outputs(
        golden.build_net_d(data).double(), golden.build_net_r(data).double(), x, y
    )
    assert_same(fast, net.double()(x, y), 1e-9)


@torch.no_grad()
def test_package_for_other_windows(plain):
    """Settings without golden numbers: T = 5, bias-free norm, odd sizes."""
    data = golden.load('tiny_stage2')
    config = data['config'] | dict(dim=30, num_seq=5, LayerNorm_type='BiasFree')
    torch.manual_seed(0)
    net = plain.PlainFMANet(**config).double()
    for name, parameter in net.named_parameters():
        if 'f_conv' in name or 'conv_f' in name:
            parameter.mul_(3)
    nets = []
    for kind, sizes, convert, part in (
        (NetD, golden.net_d_config, convert_net_d, net.degradation_learning_network),
        (NetR, golden.net_r_config, convert_net_r, net.restoration_network),
    ):
        nets.append(kind(**sizes(dict(config=config))).double())
        nets[-1].load_state_dict(convert(part.state_dict()))
    x, y = torch.rand(1, 3, 5, 13, 18).double(), torch.rand(1, 3, 5, 52, 72).double()
    outputs = net(x, y)
    assert outputs['image_flow'].abs().max() > 0.1
    assert_same(fast_outputs(*nets, x, y), outputs, 1e-9)


def test_other_scales_are_refused(plain):
    config = golden.load('tiny_stage2')['config'] | dict(scale=2)
    with pytest.raises(ValueError, match='scale 4 only, got 2'):
        plain.PlainFMANet(**config)
