"""Clips of scenes that are made up."""

import cv2
import numpy as np
import pytest
from mmagic.datasets.transforms import MATLABLikeResize
from mmagic.registry import TRANSFORMS

from fmanet_mm.datasets import SyntheticClipDataset, SyntheticMotionDataset
from fmanet_mm.datasets.scene import Layer, Scene, Trajectory
from fmanet_mm.utils.exposure import walk_levels


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    yield
    cv2.setNumThreads(threads)


def make(**kwargs):
    kwargs = dict(size=(16, 20), motion=(1.0, 3.0), clip_length=3) | kwargs
    return SyntheticClipDataset(**kwargs)


def trajectory(swing=np.inf, velocity=(0, 0, 0, 0), **changes):
    none = dict.fromkeys(('waves', 'frequencies', 'phases'), np.zeros((0, 4)))
    return Trajectory(
        centre=np.array((20.0, 16.0)),
        velocity=np.array(velocity, float),
        acceleration=np.zeros(4),
        swing=swing,
        **(none | changes),
    )


def test_a_sample_has_all_that_clips_need():
    sample = make(clip_length=4)[7]
    assert sample['key'] == '00000007/00000000-00000003'
    assert sample['img_path'] == [f'00000007/0000000{i}' for i in range(4)]
    assert sample['exposure'] == sample['exposure'][:1] * 4
    for key, shape in (('img', (16, 20)), ('gt', (64, 80)), ('img_sharp', (16, 20))):
        assert sample[f'{key}_channel_order'] == 'rgb'
        assert [frame.shape for frame in sample[key]] == [(*shape, 3)] * 4
    assert [flow.shape for flow in sample['flow']] == [(16, 20, 2)] * 8
    moving = [flow.any() for flow in sample['flow']]
    assert moving == [False, *[True] * 6, False]


@pytest.mark.parametrize(
    'dataset', [make(clip_length=2), SyntheticMotionDataset(size=(16, 20))]
)
def test_frames_are_named_without_rendering(dataset, monkeypatch):
    sample = dataset[5]
    monkeypatch.setattr(Scene, 'render', None)
    assert dataset.list_frames(5) == {key: sample[key] for key in ('key', 'img_path')}


def test_kept_samples_are_rendered_once(monkeypatch):
    steps = [dict(type='VSRDBRandomFlip', horizontal=1, vertical=1)]
    dataset = make(keep_rendered=True, length=3, pipeline=steps)
    first = dataset[1]
    monkeypatch.setattr(Scene, 'render', None)
    for key in ('img', 'gt', 'flow'):
        np.testing.assert_array_equal(dataset[1][key], first[key])
    np.testing.assert_array_equal(dataset[1]['gt'][0], first['gt'][0])
    with pytest.raises(TypeError):
        dataset[2]


def test_a_clip_may_be_a_single_frame():
    sample = make(clip_length=1)[0]
    assert len(sample['gt']) == len(sample['exposure']) == 1
    assert not np.array(sample['flow']).any() and len(sample['flow']) == 2


def test_exposures_begin_with_the_frame_time(monkeypatch):
    """Frame i is open from i - gt_time, the sharp frame being at i."""
    opened = []

    def sub_frames(self, time, exposure):
        opened.append((time - exposure / 2, time + exposure / 2))
        return [self.render(time)]

    monkeypatch.setattr(Scene, 'sub_frames', sub_frames)
    for level, gt_time in ((1, 0.4), (5, 0.4), (3, 0.0)):
        make(levels=[level], gt_time=gt_time)[0]
        expected = [(i - gt_time, i - gt_time + level / 5) for i in (-1, 0, 1)]
        np.testing.assert_allclose(opened, expected, atol=1e-12)
        opened.clear()


def test_blur_is_the_light_of_the_exposure_and_grows_with_its_level():
    resize = MATLABLikeResize(keys=['img'], scale=1 / 4)
    blur = []
    for level in (1, 3, 5):
        sample = make(levels=[level], motion=(3.0, 3.0), gt_time=level / 10)[1]
        assert sample['exposure'] == [level] * 3
        blur.append(
            np.abs(np.subtract(sample['img'], sample['img_sharp'], dtype=float))
        )
        small = resize.transform(dict(img=sample['gt'][1]))['img'].clip(0, 255)
        assert np.abs(small - sample['img_sharp'][1]).max() < 0.501
    means = [values.mean() for values in blur]
    assert means[0] < 0.7 * means[1] < 0.7 * means[2]


def test_flow_leads_to_the_same_place_in_the_neighbours():
    """The sharp frames are compared where the flow says they are the same."""
    sample = make(size=(24, 24), num_pieces=(0, 0), motion=(2.0, 2.0))[2]
    y, x = np.mgrid[:24, :24].astype(np.float32)
    frames = [np.float32(frame) for frame in sample['img_sharp']]
    for index, source, other in ((1, 0, 1), (2, 1, 0), (3, 1, 2), (4, 2, 1)):
        to = np.dstack((x, y)) + sample['flow'][index]
        found = cv2.remap(frames[other], to, None, cv2.INTER_CUBIC)
        inside = ((to > 1) & (to < 22)).all(2)
        error = np.abs(found - frames[source])[inside].mean()
        still = np.abs(frames[other] - frames[source])[inside].mean()
        assert error < 0.3 * still


def test_neighbour_flow_of_known_motion():
    """3 pixels of HR a frame to the right are 1.5 of LR at scale 2."""
    image = np.zeros((32, 40, 3), np.uint8)
    layer = Layer(image, None, np.eye(3), trajectory(velocity=(3, 0, 0, 0)))
    scene = Scene([layer], trajectory(), (16, 20), 2)
    for time in (-2.5, 0, 4):
        previous, following = scene.neighbour_flow(time)
        np.testing.assert_allclose(previous, np.full((16, 20, 2), (-1.5, 0)), atol=1e-6)
        np.testing.assert_allclose(following, np.full((16, 20, 2), (1.5, 0)), atol=1e-6)
    # A quarter turn in 10 frames, seen in the middle of the turn.
    turning = trajectory(velocity=(0, 0, np.pi / 20, 0))
    scene = Scene([layer], turning, (16, 20), 2)
    _, following = scene.neighbour_flow(0)
    np.testing.assert_allclose(following, scene.flow(1), atol=1e-6)


def test_swing_turns_motion_back():
    path = trajectory(swing=5, velocity=(2, 0, 0, 0.1))
    for time in (0.0, 1.0, 5 * np.pi / 2, 40.0):
        bounded = 5 * np.sin(time / 5)
        x, _, _ = path.pose(time) @ (20, 16, 1)
        assert x == pytest.approx(20 + 2 * bounded)
    far = path.pose(1000.0)
    assert np.exp(-0.5) <= far[0, 0] <= np.exp(0.5)


def test_walking_exposure(monkeypatch):
    monkeypatch.setattr(Scene, 'sub_frames', lambda self, t, e: [self.render(t)])
    dataset = make(walking=True, clip_length=12)
    walks = [dataset[index]['exposure'] for index in range(6)]
    assert len({*map(tuple, walks)}) > 1
    assert any(len({*walk}) > 1 for walk in walks)
    possible = {tuple(walk_levels(seed, 12)) for seed in range(3000)}
    assert {*map(tuple, walks)} <= possible


def test_a_sample_depends_on_seed_and_index_alone():
    dataset = make()
    first = dataset[4]
    dataset[5]
    for key in ('img', 'gt', 'flow'):
        np.testing.assert_array_equal(make()[4][key], first[key])
    assert (
        np.abs(np.subtract(make(seed=1)[4]['gt'], first['gt'], dtype=float)).mean() > 5
    )


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(clip_length=0), 'clip_length must be at least 1, got 0'),
        (dict(gt_time=1.2), r'gt_time must be in \[0, 1\], got 1.2'),
        (dict(levels=(0,)), 'levels must be different numbers from 1 to 5'),
        (dict(size=(20, 15)), r'size must be .* at least 16, got \(20, 15\)'),
        (dict(seed=-1), 'seed must not be negative'),
    ],
)
def test_arguments_out_of_range(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


def test_the_middle_of_a_clip_is_a_window():
    """With the flow of a clip that has other frames at its ends."""
    clip = make(clip_length=5)[3]
    window = TRANSFORMS.build(dict(type='CentreWindow')).transform(
        make(clip_length=5)[3]
    )
    assert window['key'] == '00000003/00000002'
    assert window['img_path'] == clip['img_path'][1:4]
    for key in ('img', 'gt', 'img_sharp'):
        np.testing.assert_array_equal(window[key], clip[key][1:4])
    previous, still, following = window['flow']
    assert not still.any()
    np.testing.assert_array_equal(previous, clip['flow'][4])
    np.testing.assert_array_equal(following, clip['flow'][5])
    assert 'exposure' not in window

    step = TRANSFORMS.build(dict(type='CentreWindow', num_output_frames=1))
    single = step.transform(dict(clip))
    np.testing.assert_array_equal(single['gt'], clip['gt'][2])
    with pytest.raises(ValueError, match='00000000/.* odd number .* got 2'):
        step.transform(make(clip_length=2)[0])
