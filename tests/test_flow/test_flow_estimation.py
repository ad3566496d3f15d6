"""Flow estimated in the pipeline."""

import pickle

import numpy as np
import pytest
from mmagic.registry import TRANSFORMS

from fmanet_mm.datasets.transforms.flow_estimation import EstimateFlow

DIS = dict(type='DISFlowEstimator')


def test_from_the_centre_to_the_neighbours(moving_frames):
    transform = TRANSFORMS.build(dict(type='EstimateFlow', estimator=DIS))
    results = transform(dict(img_sharp=moving_frames(5)))
    assert len(results['flow']) == 5
    for index, flow in enumerate(results['flow']):
        assert flow.shape == (64, 72, 2) and flow.dtype == np.float32
        inner = flow[16:-16, 16:-16].mean((0, 1))
        expected = np.array([2, 1]) * (index - 2)
        np.testing.assert_allclose(inner, expected, atol=0.15)
    assert not results['flow'][2].any()


def test_single_frame_has_zero_flow(moving_frames):
    results = EstimateFlow(DIS)(dict(img_sharp=moving_frames(1)))
    assert len(results['flow']) == 1 and not results['flow'][0].any()


def test_pickles_without_the_network(moving_frames):
    transform = EstimateFlow(DIS)
    expected = transform(dict(img_sharp=moving_frames(3)))['flow']
    assert transform._net is not None
    copy = pickle.loads(pickle.dumps(transform))
    assert copy._net is None
    np.testing.assert_array_equal(
        copy(dict(img_sharp=moving_frames(3)))['flow'], expected
    )


def test_bad_samples_are_named(moving_frames):
    transform = EstimateFlow(DIS)
    good = moving_frames(3)
    for frames, error in (
        (good[:2], 'odd number'),
        (np.stack(good), 'odd number'),
        ([*good[:2], good[2][:-1]], r'63, 72.*64, 72'),
        ([frame / 255 for frame in good], 'float64'),
        ([frame[..., 0] for frame in good], r'\(64, 72\)'),
    ):
        with pytest.raises(ValueError, match=f"'img_sharp' of 000/1.*{error}"):
            transform(dict(key='000/1', img_sharp=frames))
    with pytest.raises(ValueError, match="channel_order='rgb'.*'bgr'"):
        transform(dict(img_sharp=good, img_sharp_channel_order='bgr'))
