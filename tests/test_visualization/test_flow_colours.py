import numpy as np
import pytest
from mmcv import flow2rgb

from fmanet_mm.visualization.flow_colours import flow_to_rgb


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_colours_are_those_of_mmcv(dtype):
    flow = np.random.default_rng(0).normal(scale=5, size=(40, 50, 2)).astype(dtype)
    flow[0, 0], flow[1, 1, 0], flow[2, 2], flow[3, 3] = np.nan, 2e6, 0, (-1, 0)
    for part in (flow, flow[2:3, 2:3], flow[:1, :1]):
        colours = flow_to_rgb(part)
        assert colours.shape == (*part.shape[:2], 3)
        assert np.array_equal(colours, flow2rgb(part))


def test_the_flow_is_left_as_it_is():
    flow = np.array([[[np.nan, 1], [3, 4]]])
    flow_to_rgb(flow)
    assert np.array_equal(flow, [[[np.nan, 1], [3, 4]]], equal_nan=True)


@pytest.mark.parametrize('shape', [(4, 4), (2, 4, 4), (1, 4, 4, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r'flow must have shape \(H, W, 2\), got'):
        flow_to_rgb(np.zeros(shape))
