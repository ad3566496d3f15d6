import os
import re
import signal
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from PIL import Image

torch.set_num_threads(1)
if not torch.cuda.is_available():
    # Read when Triton is imported: its kernels are interpreted, on the CPU.
    os.environ['TRITON_INTERPRET'] = '1'
# Shells let what they start in the background ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
NEEDS_OPENMMLAB = re.compile(
    r'^(from|import) (mmagic|mmcv|mmflow|fmanet_mm\.(apis|compat|datasets|engine|'
    r'evaluation|flow|openmmlab|preparation)|golden_model|tiny_ablations)\b',
    re.MULTILINE,
)
"""Imports at the top of a test file that cannot work where MMagic is missing."""

HAS_MMAGIC = find_spec('mmagic') is not None
if HAS_MMAGIC:
    import fmanet_mm.openmmlab  # noqa: F401

    init_default_scope('mmagic')


def pytest_ignore_collect(collection_path):
    """Without MMagic, leave out the test files that need it."""
    if HAS_MMAGIC or collection_path.suffix != '.py':
        return None
    return NEEDS_OPENMMLAB.search(collection_path.read_text()) is not None or None


@pytest.fixture(scope='session')
def read_rgb():
    """Read a PNG as RGB with another library than the package does."""

    def read(path):
        with Image.open(path) as image:
            return np.asarray(image.convert('RGB'))

    return read


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Escape captured names that are not UTF-8, which xdist cannot send."""
    report = yield
    report.sections = [
        (name, text.encode('utf-8', 'backslashreplace').decode())
        for name, text in report.sections
    ]
    return report


SLOW = (
    'tests/test_configs.py',
    'tests/test_costs.py',
    'tests/test_doors.py',
    'tests/test_fuzz.py',
    'tests/test_packaging.py',
    'test_benchmarks/*.py',
    'test_compat/test_doors.py',
    'test_compat/test_mmflow.py',
    'test_datasets/test_bad_samples.py',
    'test_datasets/test_synthetic_motion.py',
    'test_engine/test_checkpointing.py',
    'test_engine/test_loop.py',
    'test_evaluation/test_metric.py',
    'test_models/test_baselines/*.py',
    'test_tools/test_dist.py',
    'test_tools/test_fmanet_pp_stages.py',
    'test_tools/test_drawing_tools.py',
    'test_tools/test_quickstart.py',
    'test_tools/test_resume.py',
    'test_tools/test_train_test_tools.py',
    'test_tools/test_video_to_vsrdb_tool.py',
)
"""Files of which the tests take more than 10 s together on one core."""


def pytest_collection_modifyitems(items):
    """Begin with whole programs: a long one at the end would keep one worker busy."""
    for item in items:
        if any(map(item.path.match, SLOW)):
            item.add_marker('slow')
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
