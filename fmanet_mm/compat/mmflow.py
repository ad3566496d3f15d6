"""The one compatibility step that MMFlow needs."""

import importlib
from types import ModuleType

import mmcv
from mmengine.utils import digit_version

from . import prepare_openmmlab

TRIED_FROM, TRIED_BEFORE, PRESENTED = '2.1.0', '2.2.0', '2.0.1'
"""Versions of mmcv to hide from MMFlow 1.0.0rc0, and the one to show it.

While it is imported, MMFlow asserts mmcv < 2.1.0. The parts of mmcv that it uses did
not change in 2.1 (tests/test_flow pins the flow it gives there), so it is shown the
last version it accepts. Untested versions are not hidden.
"""


def import_mmflow() -> ModuleType:
    """Import MMFlow next to mmcv 2.1; no installed file is touched.

    ``mmcv.__version__`` differs only while MMFlow's version check runs. MMEngine's
    default scope stays as it is. May be called any number of times.

    Returns:
        ModuleType: The package ``mmflow``, with ``mmflow.models`` imported.

    Raises:
        ImportError: If MMFlow is not installed, or refuses the installed mmcv.
    """
    prepare_openmmlab()
    version = mmcv.__version__
    tried = (
        digit_version(TRIED_FROM)
        <= digit_version(version)
        < digit_version(TRIED_BEFORE)
    )
    try:
        if tried:
            mmcv.__version__ = PRESENTED
        mmflow = importlib.import_module('mmflow')
    except ModuleNotFoundError as error:
        raise ImportError(
            'RAFT needs MMFlow: pip install mmflow==1.0.0rc0; without it, use '
            'DISFlowEstimator'
        ) from error
    except AssertionError as error:
        raise ImportError(f'MMFlow refuses mmcv {version}: {error}') from error
    finally:
        mmcv.__version__ = version
    importlib.import_module('mmflow.models')
    return mmflow
