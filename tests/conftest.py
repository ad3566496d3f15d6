import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
# Shells let what they start in the background ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if find_spec('mmagic'):
    import fmanet_mm.openmmlab  # noqa: F401

    init_default_scope('mmagic')


@pytest.fixture(scope='session')
def read_rgb():
    """Read a PNG as RGB with another library than the package does."""

    def read(path):
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))

    return read


def pytest_collection_modifyitems(items):
    """Begin with whole programs: a long one at the end would keep one worker busy."""
    items.sort(key=lambda item: not item.path.match('test_tools/*'))
    items.sort(key=lambda item: not item.path.match('test_tools/test_quickstart.py'))
