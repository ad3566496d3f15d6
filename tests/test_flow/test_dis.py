"""OpenCV DIS behind the interface."""

import numpy as np
import pytest
import torch
from mmagic.registry import MODELS

from fmanet_mm.flow import DISFlowEstimator


@pytest.mark.parametrize('preset', ['ultrafast', 'fast', 'medium'])
def test_finds_the_shift(moving_frames, preset):
    first, second, third = moving_frames(3)
    estimator = MODELS.build(dict(type='DISFlowEstimator', preset=preset))
    flow = estimator.estimate_arrays([first, third], [second, first])
    assert flow.shape == (2, 64, 72, 2) and flow.dtype == np.float32
    inner = flow[:, 16:-16, 16:-16].mean(axis=(1, 2))
    np.testing.assert_allclose(inner, [[2, 1], [-4, -2]], atol=0.1)


def test_tensors_and_arrays_agree(moving_frames):
    first, second = moving_frames(2)
    estimator = DISFlowEstimator()
    tensors = [
        torch.from_numpy(frame).permute(2, 0, 1)[None] / 255
        for frame in (first, second)
    ]
    flow = estimator(*tensors)
    assert flow.shape == (1, 2, 64, 72) and flow.dtype == torch.float32
    expected = estimator.estimate_arrays([first], [second])
    np.testing.assert_array_equal(flow.permute(0, 2, 3, 1), expected)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="'slow'"):
        DISFlowEstimator(preset='slow')
    estimator = DISFlowEstimator()
    with pytest.raises(ValueError, match='4 x 5 px'):
        estimator(torch.zeros(1, 3, 5, 4), torch.zeros(1, 3, 5, 4))
    with pytest.raises(ValueError, match=r'\(1, 3, 16, 16\) and \(1, 3, 16, 20\)'):
        estimator(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 20))
    with pytest.raises(ValueError, match='uint8'):
        estimator(*[torch.zeros(1, 3, 16, 16, dtype=torch.uint8)] * 2)


def test_stays_in_evaluation_mode():
    assert not torch.nn.ModuleList([DISFlowEstimator()]).train()[0].training
