import pytest
import torch

from fmanet_mm.ops import flow_warp, masked_warp, split_groups, warp_groups


def constant_flow(x, dx, dy):
    flow = torch.zeros(x.size(0), 2, *x.shape[-2:], dtype=x.dtype)
    flow[:, 0], flow[:, 1] = dx, dy
    return flow


def test_integer_flow_is_a_shift_with_zeros_outside():
    x = torch.rand(2, 3, 6, 8, dtype=torch.float64)
    out = flow_warp(x, constant_flow(x, 2, -1))
    expected = torch.zeros_like(x)
    expected[..., 1:, :-2] = x[..., :-1, 2:]
    torch.testing.assert_close(out, expected)


def test_half_a_pixel_averages_neighbours():
    x = torch.rand(1, 1, 4, 5, dtype=torch.float64)
    out = flow_warp(x, constant_flow(x, 0.5, 0))
    torch.testing.assert_close(out[..., :-1], (x[..., :-1] + x[..., 1:]) / 2)
    torch.testing.assert_close(out[..., -1], x[..., -1] / 2)


@pytest.mark.parametrize('size', [(1, 1), (1, 5), (7, 1)])
def test_zero_flow_is_the_identity_down_to_one_pixel(size):
    x = torch.rand(1, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(flow_warp(x, constant_flow(x, 0, 0)), x)


def test_mask_logit_weighs_the_warped_image():
    x = torch.rand(1, 3, 4, 4)
    flow_mask = torch.zeros(1, 3, 4, 4)
    torch.testing.assert_close(masked_warp(x, flow_mask), x / 2)
    flow_mask[:, 2] = -200
    assert masked_warp(x, flow_mask).abs().max() == 0


def test_each_group_of_channels_follows_its_own_pair():
    x = torch.rand(1, 4, 5, 6, dtype=torch.float64)
    pairs = torch.zeros(1, 6, 5, 6, dtype=torch.float64)
    pairs[:, 3] = 1
    pairs[:, [2, 5]] = 200
    out = warp_groups(split_groups(x, pairs.size(1) // 3), pairs)
    torch.testing.assert_close(out[:, :2], x[:, :2])
    torch.testing.assert_close(out[:, 2:, :, :-1], x[:, 2:, :, 1:])


def test_coordinates_keep_their_precision_under_autocast():
    x = torch.rand(1, 1, 2, 1025)
    with torch.autocast('cpu', torch.bfloat16):
        out = flow_warp(x.bfloat16(), constant_flow(x, 0.25, 0).bfloat16())
    x = x.bfloat16().float()
    expected = 0.75 * x[..., :-1] + 0.25 * x[..., 1:]
    torch.testing.assert_close(out[..., :-1], expected, atol=1e-4, rtol=0)
