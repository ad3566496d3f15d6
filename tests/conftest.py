import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
# Shells let what they start in the background ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if find_spec('mmagic'):
    import fmanet_mm.openmmlab  # noqa: F401

    init_default_scope('mmagic')


def pytest_collection_modifyitems(items):
    """Begin with whole programs: a long one at the end would keep one worker busy."""
    items.sort(key=lambda item: not item.path.match('test_tools/*'))
    items.sort(key=lambda item: not item.path.match('test_tools/test_quickstart.py'))


@pytest.fixture
def config_file(tmp_path):
    """Config of the tiny network."""
    from helpers import tiny_config

    tiny_config().dump(tmp_path / 'config.py')
    return str(tmp_path / 'config.py')


@pytest.fixture
def checkpoint(tmp_path):
    """Checkpoint of the tiny network."""
    from helpers import tiny_network

    torch.save(dict(state_dict=tiny_network().state_dict()), tmp_path / 'stage2.pth')
    return str(tmp_path / 'stage2.pth')


@pytest.fixture
def make_clip(tmp_path):
    """Writes a short clip, a video file or a folder of images; gives its path."""
    from helpers import moving_images

    from fmanet_mm.video.writer import open_writer

    def make(name, num_frames=4, size=(10, 14), **options):
        with open_writer(tmp_path / name, **options) as writer:
            for image in moving_images(num_frames, size):
                writer.write(image)
        return str(tmp_path / name)

    return make
