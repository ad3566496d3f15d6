"""Frames with known measures, and made ones."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

METRICS = Path(__file__).parents[1] / 'data/metrics'


@pytest.fixture(scope='session')
def golden():
    """Four outputs, their targets, and what the published protocol gives for each."""

    def read(kind, index):
        image = cv2.imread(str(METRICS / f'{kind}_{index:08d}.png'))
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    expected = json.loads((METRICS / 'expected.json').read_text())
    outputs, targets = ([read(kind, i) for i in range(4)] for kind in ('out', 'gt'))
    return outputs, targets, expected


@pytest.fixture(scope='session')
def junk(golden):
    """A frame that spoils every mean it goes into."""
    return np.zeros_like(golden[0][0])


@pytest.fixture
def write_frames():
    """Return a function that writes RGB frames as ``<folder>/00000000.png``, ..."""

    def write(folder, frames, first=0):
        folder.mkdir(parents=True)
        for number, frame in enumerate(frames, start=first):
            bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
            assert cv2.imwrite(str(folder / f'{number:08d}.png'), bgr)
        return folder

    return write
