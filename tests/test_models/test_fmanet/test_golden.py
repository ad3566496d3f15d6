"""Our networks against numbers of the authors' model."""

import golden
import pytest
import torch

from fmanet_mm.models.common.layers import per_frame
from fmanet_mm.models.fmanet.refinement_net import split_windows

# The weights of the full-size file are random, and amplify rounding: the authors'
# float32 numbers are themselves this far from the same network in float64.
FULL_SIZE_ROUNDING = 2.5e-3
TOLERANCES = {'tiny_stage1': 1e-4, 'tiny_stage2': 1e-4}


def restore(net_d, net_r, x, degradation):
    """As videos are restored: the kernels are never computed as such."""
    features = net_r.encode(x.flatten(0, 1), degradation.feature.flatten(0, 1))
    kernels = net_r.embed_kernel_feature(degradation.kernel_feature, net_d.kernel_head)
    return net_r.refine(
        x,
        split_windows(features, x.size(1)),
        degradation.flow_masks,
        kernels,
    ).output


@torch.no_grad()
def outputs_of(data, dtype=torch.float32):
    x, y = (golden.frames(data[key]).to(dtype) for key in 'xy')
    net_d = golden.build_net_d(data).to(dtype)
    degradation = net_d(x)
    kernels = net_d.kernels(degradation.kernel_feature)
    flow_mask = net_d.image_flow_mask(degradation.flow_masks)
    recon, hr_warp = net_d.degrade(y, flow_mask, kernels)
    outputs = dict(
        recon=recon,
        hr_warp=golden.frames(hr_warp),
        image_flow=golden.frames(flow_mask[:, :, :2]),
        F_sharp_D=golden.frames(per_frame(net_d.anchor, degradation.feature)),
    )
    if data['config']['stage'] == 2:
        net_r = golden.build_net_r(data).to(dtype)
        restoration = net_r(x, degradation, kernels)
        outputs |= dict(
            output=restore(net_d, net_r, x, degradation),
            lr_warp=golden.frames(restoration.warped_frames),
            F_sharp_R=golden.frames(per_frame(net_r.anchor, restoration.feature)),
        )
    return outputs


@pytest.mark.parametrize('name', ['tiny_stage1', 'tiny_stage2'])
def test_tiny_outputs(name):
    data = golden.load(name)
    outputs = outputs_of(data)
    assert outputs.keys() == data['outputs'].keys()
    for key, expected in data['outputs'].items():
        torch.testing.assert_close(
            outputs[key], expected, rtol=0, atol=1e-4, msg=lambda m, k=key: f'{k}: {m}'
        )


def test_full_size_outputs():
    data = golden.load('full_stage2')
    single, double = outputs_of(data), outputs_of(data, torch.float64)
    assert single.keys() == data['outputs'].keys()
    for key, expected in data['outputs'].items():
        rounding = (expected - double[key]).abs().max()
        assert rounding < FULL_SIZE_ROUNDING, f'{key}: not the same function'
        error = (single[key] - expected).abs()
        assert error.max() < max(1e-4, 2 * rounding), f'{key}: {error.max()}'
        assert error.mean() < 1.5e-4


def test_parameters_are_the_authors():
    data = golden.load('full_stage2')
    net_d, net_r = golden.build_net_d(data), golden.build_net_r(data)
    count = sum(p.numel() for p in net_d.parameters())
    assert count == 3_225_837
    assert count + sum(p.numel() for p in net_r.parameters()) == 9_766_503
    anchors = [*net_d.anchor_head.parameters(), *net_r.anchor_head.parameters()]
    assert round((9_766_503 - sum(p.numel() for p in anchors)) / 1e6, 2) == 9.62
