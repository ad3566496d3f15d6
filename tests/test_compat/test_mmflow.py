"""Importing MMFlow next to a newer mmcv."""

import subprocess
import sys

import mmcv
import pytest

from fmanet_mm.compat import mmflow as compat_mmflow
from fmanet_mm.compat.mmflow import import_mmflow

# In a fresh interpreter, because the import happens once in a process.
FRESH = """
import mmcv
from mmengine.registry import DefaultScope
version = mmcv.__version__
DefaultScope.get_instance('test', scope_name='mmagic')
from fmanet_mm.compat.mmflow import import_mmflow
first = import_mmflow()
assert import_mmflow() is first
assert mmcv.__version__ == version, mmcv.__version__
assert first.models.RAFT
assert DefaultScope.get_current_instance().scope_name == 'mmagic'
import fmanet_mm.flow
from mmagic.registry import MODELS
assert MODELS.build(dict(type='L1Loss'))
assert MODELS.build(dict(type='DISFlowEstimator'))
"""


def test_fresh_import_leaves_mmcv_and_the_scope_alone():
    subprocess.run([sys.executable, '-c', FRESH], check=True)


def test_refusal_leaves_mmcv_alone(monkeypatch):
    def refuse(name):
        raise AssertionError('MMCV is too new')

    version = mmcv.__version__
    monkeypatch.setattr(compat_mmflow.importlib, 'import_module', refuse)
    with pytest.raises(ImportError, match=f'mmcv {version}: MMCV is too new'):
        import_mmflow()
    assert mmcv.__version__ == version


@pytest.mark.parametrize(
    ('installed', 'shown'), [('2.1.0', '2.0.1'), ('2.2.0', '2.2.0'), ('2.0.0', '2.0.0')]
)
def test_only_tried_versions_are_hidden(monkeypatch, installed, shown):
    seen = []
    monkeypatch.setattr(mmcv, '__version__', installed)
    monkeypatch.setattr(
        compat_mmflow.importlib,
        'import_module',
        lambda name: seen.append(mmcv.__version__),
    )
    import_mmflow()
    assert seen == [shown, installed]


def test_missing_mmflow_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmflow', None)
    with pytest.raises(ImportError, match='pip install mmflow'):
        import_mmflow()
