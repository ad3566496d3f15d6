"""Distinguishing exposures, and giving a network another exposure."""

import numpy as np
import pytest
import torch
from helpers import tiny_pp_network
from mmagic.registry import METRICS
from torch import nn

from fmanet_mm.evaluation.exposure import (
    ExposureKNNAccuracy,
    classify,
    kernel_spread,
    swap_exposure,
)


def slow_classify(vectors, labels, folds):
    """Vectors one by one, by the definition."""
    named = []
    for i, vector in enumerate(vectors):
        others = [j for j in range(len(vectors)) if folds[j] != folds[i]]
        cosine = [
            vector @ vectors[j] / np.linalg.norm(vector) / np.linalg.norm(vectors[j])
            for j in others
        ]
        nearest = sorted(zip(cosine, others, strict=True), reverse=True)[:5]
        votes = {}
        for similarity, j in nearest:
            count, total = votes.get(labels[j], (0, 0))
            votes[labels[j]] = count + 1, total + similarity
        named.append(max(votes, key=votes.get))
    return named


@pytest.mark.parametrize('spread', [0.3, 1.0, 3.0])
def test_nearest_neighbours_by_their_definition(spread):
    rng = np.random.default_rng(0)
    labels = rng.integers(1, 6, 60)
    vectors = np.eye(8)[labels] + spread * rng.normal(size=(60, 8))
    folds = rng.integers(0, 5, 60)
    named = classify(vectors, labels, folds)
    assert named.tolist() == slow_classify(vectors, labels, folds)
    if spread == 0.3:
        assert (named == labels).mean() > 0.9


def sample(key, vectors, labels):
    return dict(key=key, embedding=torch.tensor(vectors), exposure=torch.tensor(labels))


def measure(samples, **kwargs):
    metric = METRICS.build(dict(type='ExposureKNNAccuracy', **kwargs))
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    return metric, metric.evaluate(len(samples))


def scenes(number, misleading=False):
    """Two levels in every scene, which differ by the angle of the vectors."""
    samples = []
    for scene in range(number):
        for level in (2, 4):
            angle, count = 0.1 * level, 2
            if misleading:  # A frame is like the other frames of its scene alone.
                angle, count = (scene if level == 2 else scene + 0.4), 10
            angles = angle + 0.01 * np.arange(count)
            vectors = np.stack((np.cos(angles), np.sin(angles)), axis=1)
            key = f'5-{level}/{scene:03d}/00000000-00000001'
            samples.append(sample(key, vectors, [level] * count))
    return samples


def test_accuracy_and_confusion():
    samples = scenes(6)
    metric, found = measure(samples)
    assert found == {'kNN/accuracy': 100.0}
    np.testing.assert_array_equal(metric.confusion, [[100, 0], [0, 100]])
    # One of the twelve frames of level 4 looks like level 2.
    samples[-1]['embedding'][0] = samples[0]['embedding'][0]
    metric, found = measure(samples)
    assert found['kNN/accuracy'] == pytest.approx(100 * 23 / 24)
    np.testing.assert_allclose(metric.confusion, [[100, 0], [100 / 12, 1100 / 12]])


def test_a_frame_is_not_classified_by_its_own_scene():
    samples = scenes(6, misleading=True)
    _, by_scene = measure(samples)
    _, by_frame = measure(samples, by_scene=False)
    assert by_frame['kNN/accuracy'] == 100 > by_scene['kNN/accuracy'] + 20


def test_repeated_samples_count_once():
    samples = scenes(6)
    samples[-1]['embedding'][0] = samples[0]['embedding'][0]
    metric, found = measure([*samples, *samples[:3]])
    assert found['kNN/accuracy'] == pytest.approx(100 * 23 / 24)


def test_a_single_scene_and_missing_labels_are_refused():
    with pytest.raises(ValueError, match='at least two scenes, got 4 of one'):
        measure(scenes(1))
    unlabelled = scenes(2)
    del unlabelled[0]['exposure']
    with pytest.raises(ValueError, match="5-2/000/.* has no 'exposure'"):
        ExposureKNNAccuracy().process({}, unlabelled)


def test_spread_of_known_kernels():
    logits = torch.full((2, 3, 25, 4, 5), -1e4, dtype=torch.float64)
    logits[0, 1, 12] = 0  # a single tap
    logits[1, 0, 0] = logits[1, 2, 4] = 0  # the ends of the first row, 4 apart
    np.testing.assert_allclose(kernel_spread(logits), [0, 4], atol=1e-12)
    even = kernel_spread(torch.zeros(1, 3, 36, 2, 2, dtype=torch.float64))
    np.testing.assert_allclose(even, [2 * (36 - 1) / 12])


def test_spread_by_its_definition():
    logits = torch.randn(2, 3, 16, 3, 4, dtype=torch.float64)
    weights = logits.flatten(1, 2).softmax(1).view(2, 3, 4, 4, 3, 4).numpy()
    y, x = np.mgrid[:4, :4]
    expected = []
    for frame in weights:
        values = []
        for place in np.ndindex(3, 4):
            w = frame[(..., *place)].sum(0)
            mean = (w * y).sum(), (w * x).sum()
            values.append((w * ((y - mean[0]) ** 2 + (x - mean[1]) ** 2)).sum())
        expected.append(np.mean(values))
    np.testing.assert_allclose(kernel_spread(logits), expected)


class Packed:
    """A clip as PackClip packs it, darker at higher levels."""

    def __init__(self, level, scene='000'):
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (3, 3, 8, 8)) // level
        self.item = dict(
            inputs=torch.tensor(frames, dtype=torch.uint8),
            data_samples=type('Sample', (), {})(),
        )
        self.item['data_samples'].key = f'5-{level}/{scene}/0-2'
        self.item['data_samples'].gt_img = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)

    def __getitem__(self, index):
        return self.item


def test_a_swap_changes_only_what_the_network_is_given():
    network = tiny_pp_network()
    datasets = {level: Packed(level) for level in (1, 5)}
    swap = swap_exposure(network, datasets, [0, 1])
    assert swap.spread.keys() == swap.psnr.keys()
    assert {*swap.spread} == {(1, 1), (1, 5), (5, 1), (5, 5)}
    clip = {level: d[0]['inputs'][None] / 255 for level, d in datasets.items()}
    with torch.no_grad():
        given = network.embed(clip[1])
        restored = network.forward_tensor(clip[5], given)
        degradation = network.net_d(clip[5], given)
        kernels = network.net_d.kernels(degradation.kernel_feature)
    levels = (restored.clamp(0, 1) * 255).round()[0, :, :, 4:-4, 4:-4].double()
    errors = levels.square().mean((1, 2, 3))
    expected = (10 * torch.log10(255**2 / errors)).mean().item()
    assert swap.psnr[5, 1] == pytest.approx(expected)
    assert swap.spread[5, 1] == pytest.approx(kernel_spread(kernels).mean().item())
    assert swap.spread[5, 1] != swap.spread[5, 5]
    assert swap.ratios() == (
        swap.spread[5, 5] / swap.spread[5, 1],
        swap.spread[1, 5] / swap.spread[1, 1],
    )
    assert '| frames 5-5 |' in swap.table() and 'given 5-1 | given 5-5' in swap.table()


def test_what_cannot_be_swapped_is_named():
    network = tiny_pp_network()
    datasets = {1: Packed(1), 5: Packed(5, scene='001')}
    with pytest.raises(
        ValueError, match='sample 0 must show the same scene .*000, 001'
    ):
        swap_exposure(network, datasets, [0])
    without = nn.Linear(1, 1)
    without.exposure_net = None
    with pytest.raises(ValueError, match='Linear has no exposure extractor'):
        swap_exposure(without, datasets, [0])
