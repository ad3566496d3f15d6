"""Crops and flips of all kinds in step."""

import copy

import numpy as np
import pytest
from mmagic.registry import TRANSFORMS

from fmanet_mm.datasets import (
    CheckScale,
    VSRDBRandomChannels,
    VSRDBRandomCrop,
    VSRDBRandomFlip,
    VSRDBRandomTranspose,
)
from fmanet_mm.datasets.transforms.geometry import flip, transpose

SCALE = 4


@pytest.fixture
def sample():
    """Every LR pixel holds its (y, x, frame), so does every HR pixel and the flow."""
    height, width = 10, 14

    def coordinates(t, scale=1):
        y, x = np.mgrid[: scale * height, : scale * width]
        return np.stack([y, x, np.full_like(x, t)], -1).astype(np.uint8)

    return dict(
        key='000/00000001',
        img=[coordinates(t) for t in range(3)],
        img_sharp=[coordinates(t) + 100 for t in range(3)],
        gt=[coordinates(t, SCALE) for t in range(3)],
        # x, then y.
        flow=[coordinates(t)[..., 1::-1].astype(np.float32) + t for t in range(3)],
    )


def assert_equal(left, right):
    assert left.keys() == right.keys()
    for key in left:
        np.testing.assert_array_equal(left[key], right[key], err_msg=key)


def test_crop_on_the_lr_grid(sample):
    transform = TRANSFORMS.build(
        dict(type='VSRDBRandomCrop', patch_size=6, scale=SCALE)
    )
    seen = set()
    np.random.seed(0)
    for _ in range(500):
        cropped = transform(copy.deepcopy(sample))
        top, left = map(int, cropped['img'][0][0, 0, :2])
        seen.add((top, left))
        for t in range(3):
            y, x = np.mgrid[top : top + 6, left : left + 6]
            np.testing.assert_array_equal(cropped['img'][t][..., 0], y)
            np.testing.assert_array_equal(cropped['img'][t][..., 1], x)
            np.testing.assert_array_equal(cropped['img'][t][..., 2], t)
            np.testing.assert_array_equal(
                cropped['img_sharp'][t], cropped['img'][t] + 100
            )
            np.testing.assert_array_equal(cropped['flow'][t], np.stack([x, y], -1) + t)
            gt = cropped['gt'][t]
            assert gt.shape == (24, 24, 3)
            np.testing.assert_array_equal(gt[0, 0], [SCALE * top, SCALE * left, t])
            np.testing.assert_array_equal(gt[-1, -1, :2], gt[0, 0, :2] + 23)
    assert seen == {(top, left) for top in range(5) for left in range(9)}


def test_crop_of_what_there_is(sample):
    del sample['img_sharp'], sample['flow']
    sample['gt'] = sample['gt'][1]
    np.random.seed(1)
    cropped = VSRDBRandomCrop(10, SCALE)(sample)
    assert cropped['gt'].shape == (40, 40, 3)
    np.testing.assert_array_equal(
        cropped['gt'][0, 0, :2], SCALE * cropped['img'][0][0, 0, :2]
    )
    assert cropped.keys() == {'key', 'img', 'gt'}


def test_numpy_seed_governs_the_chance(sample):
    transforms = [VSRDBRandomCrop(4, SCALE), VSRDBRandomFlip()]

    def draw():
        results = copy.deepcopy(sample)
        for transform in transforms:
            results = transform(results)
        return results

    np.random.seed(7)
    first, second = draw(), draw()
    np.random.seed(7)
    assert_equal(draw(), first)
    assert_equal(draw(), second)
    assert not np.array_equal(first['img'], second['img'])


def test_patch_larger_than_the_frame(sample):
    with pytest.raises(
        ValueError, match=r'000/00000001 .*\(10, 14\).*patch_size of 11'
    ):
        VSRDBRandomCrop(11, SCALE)(sample)


@pytest.mark.parametrize('transform', [CheckScale(SCALE), VSRDBRandomCrop(4, SCALE)])
@pytest.mark.parametrize(
    'key, shape, expected',
    [
        ('gt', (40, 55, 3), (40, 56)),
        ('gt', (20, 28, 3), (40, 56)),
        ('img_sharp', (10, 15, 3), (10, 14)),
        ('flow', (9, 14, 2), (10, 14)),
    ],
)
def test_kinds_that_do_not_fit_are_named(sample, transform, key, shape, expected):
    sample[key] = [np.zeros(shape)] * 3
    with pytest.raises(ValueError, match=f"'{key}' of 000/00000001") as error:
        transform(sample)
    assert str(shape[:2]) in str(error.value)
    assert str(expected) in str(error.value)


def test_check_leaves_the_sample_as_it_is(sample):
    transform = TRANSFORMS.build(dict(type='CheckScale', scale=SCALE))
    assert_equal(transform(copy.deepcopy(sample)), sample)
    sample['gt'] = sample['gt'][1]
    transform(sample)


@pytest.mark.parametrize('horizontal, vertical', [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_flip_of_frames_and_vectors(sample, horizontal, vertical):
    transform = TRANSFORMS.build(
        dict(type='VSRDBRandomFlip', horizontal=horizontal, vertical=vertical)
    )
    flipped = transform(copy.deepcopy(sample))
    rows, columns = (slice(None, None, -1 if f else 1) for f in (vertical, horizontal))
    for key in ('img', 'gt', 'img_sharp'):
        for before, after in zip(sample[key], flipped[key], strict=True):
            np.testing.assert_array_equal(after, before[rows, columns])
    for before, after in zip(sample['flow'], flipped['flow'], strict=True):
        assert after.dtype == np.float32
        np.testing.assert_array_equal(
            after[..., 0], before[rows, columns, 0] * (-1 if horizontal else 1)
        )
        np.testing.assert_array_equal(
            after[..., 1], before[rows, columns, 1] * (-1 if vertical else 1)
        )


def test_flow_still_points_to_the_same_pixel_after_a_flip(sample):
    """A bright pixel that moves by the flow still does so in the flipped window."""
    (y, x), (dy, dx) = (3, 4), (2, -3)
    frames = [np.zeros((10, 14, 3), np.uint8) for _ in range(2)]
    frames[0][y, x] = frames[1][y + dy, x + dx] = 255
    flow = np.full((10, 14, 2), (dx, dy), np.float32)
    for direction in ('horizontal', 'vertical'):
        results = dict(img=frames, flow=[flow])
        flip(results, direction)
        (y0, x0), (y1, x1) = (np.argwhere(f[..., 0])[0] for f in results['img'])
        assert (x1 - x0, y1 - y0) == tuple(results['flow'][0][y0, x0])


def test_flow_still_points_to_the_same_pixel_after_a_transposition():
    (y, x), (dy, dx) = (3, 4), (2, -3)
    frames = [np.zeros((10, 14, 3), np.uint8) for _ in range(2)]
    frames[0][y, x] = frames[1][y + dy, x + dx] = 255
    results = dict(img=frames, flow=[np.full((10, 14, 2), (dx, dy), np.float32)])
    transpose(results)
    (y0, x0), (y1, x1) = (np.argwhere(f[..., 0])[0] for f in results['img'])
    assert (y0, x0) == (x, y)
    assert results['flow'][0].shape == (14, 10, 2)
    assert (x1 - x0, y1 - y0) == tuple(results['flow'][0][y0, x0])


def test_transposition_of_all_kinds(sample):
    results = copy.deepcopy(sample)
    transpose(results)
    for key in ('img', 'gt', 'img_sharp'):
        for before, after in zip(sample[key], results[key], strict=True):
            np.testing.assert_array_equal(after, before.swapaxes(0, 1))
    transpose(results)
    assert_equal(results, sample)


def test_only_square_frames_are_transposed_at_random(sample):
    transform = TRANSFORMS.build(dict(type='VSRDBRandomTranspose', probability=1))
    with pytest.raises(ValueError, match=r'000/00000001 .*\(10, 14\).*only square'):
        transform(copy.deepcopy(sample))
    square = VSRDBRandomCrop(8, SCALE)(sample)
    before = [image.copy() for image in square['img']]
    after = transform(square)['img']
    np.testing.assert_array_equal(after, np.swapaxes(before, 1, 2))


def test_channels_of_all_frames_are_permuted_alike(sample):
    transform = TRANSFORMS.build(dict(type='VSRDBRandomChannels'))
    sample['gt'] = sample['gt'][1]
    np.random.seed(0)
    seen = set()
    for _ in range(60):
        results = transform(copy.deepcopy(sample))
        # Of pixel (9, 13) of frame 1, which has three different values.
        order = tuple(int(v) for v in results['img'][1][9, 13])
        channels = [(9, 13, 1).index(value) for value in order]
        seen.add(order)
        for key in ('img', 'img_sharp', 'gt'):
            np.testing.assert_array_equal(
                results[key], np.asarray(sample[key])[..., channels]
            )
        np.testing.assert_array_equal(results['flow'], sample['flow'])
    assert len(seen) == 6
    never = VSRDBRandomChannels(probability=0)
    assert_equal(never(copy.deepcopy(sample)), sample)


@pytest.mark.parametrize('direction', ['horizontal', 'vertical'])
def test_flipping_twice_is_the_identity(sample, direction):
    results = copy.deepcopy(sample)
    flip(results, direction)
    assert not np.array_equal(results['gt'], sample['gt'])
    flip(results, direction)
    assert_equal(results, sample)


def test_repeated_frames_are_flipped_once(sample):
    sample['img'] = [sample['img'][0]] * 3
    flipped = VSRDBRandomFlip(1, 0)(copy.deepcopy(sample))
    for frame in flipped['img']:
        np.testing.assert_array_equal(frame, sample['img'][0][:, ::-1])


def test_flip_frequencies(sample):
    np.random.seed(0)
    transform = VSRDBRandomFlip(horizontal=0.25, vertical=0.75)
    corners = [transform(copy.deepcopy(sample))['img'][0][0, 0, :2] for _ in range(400)]
    vertical, horizontal = np.mean([corner > 0 for corner in corners], axis=0)
    assert horizontal == pytest.approx(0.25, abs=0.07)
    assert vertical == pytest.approx(0.75, abs=0.07)


def test_probability_out_of_range():
    with pytest.raises(ValueError, match=r'vertical must be in \[0, 1\], got 1.5'):
        VSRDBRandomFlip(0.5, 1.5)


@pytest.mark.parametrize('transform', [VSRDBRandomTranspose, VSRDBRandomChannels])
def test_a_single_probability_out_of_range(transform):
    with pytest.raises(ValueError, match=r'probability must be in \[0, 1\], got -0.1'):
        transform(-0.1)
