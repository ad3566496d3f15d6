"""The looping animation of a clip before and after."""

import numpy as np
import pytest
from helpers import noise_images
from PIL import Image, ImageSequence

from fmanet_mm.visualization.animation import write_animation

DARK, BRIGHT = 40, 200


def flat(grey, number=4, size=(40, 100)):
    return [np.full((*size, 3), grey, np.uint8) for _ in range(number)]


def read(path):
    with Image.open(path) as image:
        frames = [np.asarray(f.convert('RGB')) for f in ImageSequence.Iterator(image)]
        return frames, image.info


def test_the_border_sweeps_to_the_right_and_back(tmp_path):
    path = tmp_path / 'new/animation.webp'
    write_animation(path, flat(DARK), flat(BRIGHT), labels=('', ''), fps=10)
    frames, info = read(path)
    assert len(frames) == 6 and info['loop'] == 0
    shares = []
    for frame in frames:
        row = frame[5].mean(1)
        border = int((row < 100).sum())
        np.testing.assert_allclose(row[: border - 3], DARK, atol=6)
        np.testing.assert_allclose(row[border + 4 :], BRIGHT, atol=6)
        shares.append(border / len(row))
    # 0.5 - 0.4 cos(2 pi k / 6)
    assert shares == pytest.approx([0.1, 0.3, 0.7, 0.9, 0.7, 0.3], abs=0.03)


def test_the_clip_plays_forwards_and_backwards(tmp_path):
    clip = [np.full((32, 32, 3), 50 * t, np.uint8) for t in range(4)]
    write_animation(tmp_path / 'a.webp', clip, clip, labels=('', ''))
    frames, _ = read(tmp_path / 'a.webp')
    order = [round(frame[2, 31].mean() / 50) for frame in frames]
    assert order == [0, 1, 2, 3, 2, 1]


def test_quality_is_given_up_for_size(tmp_path):
    noise = noise_images(3, (64, 64))
    write_animation(tmp_path / 'good.webp', noise, noise)
    good = (tmp_path / 'good.webp').stat().st_size
    write_animation(tmp_path / 'small.webp', noise, noise, max_bytes=good // 2)
    assert (tmp_path / 'small.webp').stat().st_size <= good // 2
    with pytest.raises(ValueError, match='4 frames of .* more than max_bytes = 100'):
        write_animation(tmp_path / 'none.webp', noise, noise, max_bytes=100)
    assert not (tmp_path / 'none.webp').exists()


def test_clips_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match='got 4 and 3 frames'):
        write_animation(tmp_path / 'a.webp', flat(DARK), flat(BRIGHT, 3))
    with pytest.raises(ValueError, match=r'\(40, 100, 3\), \(44, 100, 3\)'):
        write_animation(tmp_path / 'a.webp', flat(DARK), flat(BRIGHT, size=(44, 100)))
    with pytest.raises(ValueError, match='got 0 and 0 frames'):
        write_animation(tmp_path / 'a.webp', [], [])
