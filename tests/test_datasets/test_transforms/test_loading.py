"""Reading frames and flow."""

import cv2
import numpy as np
import pytest
from mmagic.registry import TRANSFORMS

from fmanet_mm.datasets import LoadFlow, LoadFrames
from fmanet_mm.flow import save_flow


@pytest.fixture
def frames(vsrdb_set):
    return sorted((vsrdb_set.root / 'train_sharp/000').glob('*.png'))[:3]


def test_frames_are_rgb(frames, read_rgb):
    transform = TRANSFORMS.build(dict(type='LoadFrames', key='gt'))
    results = transform(dict(gt_path=[str(path) for path in frames]))
    for path, frame in zip(frames, results['gt'], strict=True):
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, read_rgb(path))
    assert results['gt_channel_order'] == 'rgb'
    assert results['ori_gt_shape'] == [(32, 48, 3)] * 3


def test_single_frame_stays_single(frames, read_rgb):
    results = LoadFrames('gt')(dict(gt_path=str(frames[0])))
    np.testing.assert_array_equal(results['gt'], read_rgb(frames[0]))


def test_grey_and_transparent_frames_become_rgb(tmp_path):
    for channels in ((), (4,)):
        path = str(tmp_path / 'frame.png')
        image = np.random.default_rng(0).integers(0, 256, (5, 6, *channels), np.uint8)
        cv2.imwrite(path, image)
        (frame,) = LoadFrames('img')(dict(img_path=[path]))['img']
        expected = image[..., 2::-1] if channels else np.stack([image] * 3, -1)
        np.testing.assert_array_equal(frame, expected)


@pytest.mark.parametrize('content', [b'', b'no image', 'half'])
def test_unreadable_frame_is_named(frames, content):
    data = frames[1].read_bytes()
    frames[1].write_bytes(data[: len(data) // 2] if content == 'half' else content)
    with pytest.raises(ValueError, match=f'{frames[1]} cannot be read as an image'):
        LoadFrames('gt')(dict(gt_path=[str(path) for path in frames]))


def test_missing_frame_is_named(frames):
    frames[1].unlink()
    with pytest.raises(FileNotFoundError, match=str(frames[1])):
        LoadFrames('gt')(dict(gt_path=[str(path) for path in frames]))


def test_frames_of_unequal_size_are_named(vsrdb_set, frames):
    vsrdb_set.write_frame(frames[2], size=(32, 47))
    with pytest.raises(
        ValueError, match=rf'{frames[2]} has .*32, 47.*{frames[0]}.*32, 48'
    ):
        LoadFrames('gt')(dict(gt_path=[str(path) for path in frames]))


class TestFlow:
    @pytest.fixture
    def results(self, tmp_path):
        flow = np.random.default_rng(0).normal(size=(8, 12, 2)).astype(np.float16)
        save_flow(tmp_path / '1_0.npy', flow)
        save_flow(tmp_path / '1_2.npy', -flow)
        return dict(
            img=[np.zeros((8, 12, 3), np.uint8)] * 3,
            flow_path=[str(tmp_path / '1_0.npy'), None, str(tmp_path / '1_2.npy')],
        )

    def test_values(self, results):
        flow = TRANSFORMS.build(dict(type='LoadFlow'))(results)['flow']
        expected = np.random.default_rng(0).normal(size=(8, 12, 2)).astype(np.float16)
        assert [value.dtype for value in flow] == [np.float32] * 3
        np.testing.assert_array_equal(flow[0], expected)
        np.testing.assert_array_equal(flow[1], np.zeros((8, 12, 2)))
        np.testing.assert_array_equal(flow[2], -expected)

    def test_wrong_shape_is_named(self, results):
        results['img'] = [np.zeros((8, 13, 3), np.uint8)] * 3
        with pytest.raises(ValueError, match=r'1_0.npy has .*\(8, 12\).*\(8, 13\)'):
            LoadFlow()(results)

    def test_nan_is_named(self, results):
        np.save(results['flow_path'][2], np.full((8, 12, 2), np.nan, np.float32))
        with pytest.raises(ValueError, match='1_2.npy holds 192 values that are NaN'):
            LoadFlow()(results)
