"""Frames that move by a known amount."""

import cv2
import numpy as np
import pytest


@pytest.fixture
def moving_frames():
    """Return uint8 RGB frames of a texture; frame t is moved by t * (2, 1) px."""

    def make(number, height=64, width=72):
        noise = np.random.default_rng(0).uniform(size=(height + 32, width + 64, 3))
        texture = cv2.GaussianBlur(noise, (0, 0), 2)
        texture = (texture - texture.min()) / np.ptp(texture) * 255
        texture = texture.round().astype(np.uint8)
        return [
            np.ascontiguousarray(
                texture[16 - t : 16 - t + height, 32 - 2 * t : 32 - 2 * t + width]
            )
            for t in range(number)
        ]

    return make
