"""Installations that MMagic cannot work in, and the command that mends each."""

import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest

from fmanet_mm.compat import explained_imports, installation
from fmanet_mm.compat.numpy_names import provide_numpy_names


def pretend_missing(monkeypatch, package):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        'find_spec',
        lambda name, *rest: None if name == package else find(name, *rest),
    )


def pretend_versions(monkeypatch, **versions):
    """Installed versions by distribution; no other is installed."""

    def version(name):
        if name.replace('-', '_') in versions:
            return versions[name.replace('-', '_')]
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, 'version', version)


def test_this_installation_is_fit():
    installation.check_installation()


@pytest.mark.parametrize('package', ['mmagic', 'mmcv', 'torchvision'])
def test_missing_package(monkeypatch, package):
    pretend_missing(monkeypatch, package)
    with pytest.raises(ImportError, match=f'^{package} is not.*fmanet_mm\\[train\\]'):
        installation.check_installation()


def test_newer_python(monkeypatch):
    version = namedtuple('version', 'major minor micro releaselevel serial')
    monkeypatch.setattr(sys, 'version_info', version(3, 13, 0, 'final', 0))
    with pytest.raises(ImportError, match=r'Python 3\.13.*PYTHON=.*setup_env\.sh'):
        installation.check_installation()


@pytest.mark.parametrize('name', ['mmcv', 'mmcv_lite'])
@pytest.mark.parametrize('version', ['1.7.2', '2.2.0'])
def test_wrong_mmcv(monkeypatch, name, version):
    pretend_versions(monkeypatch, **{name: version})
    shown = name.replace('_', '-')
    message = f'^{shown} {version} is .*pip uninstall -y {shown} && pip install "mmcv-l'
    with pytest.raises(ImportError, match=message):
        installation.check_mmcv()


def test_two_mmcv(monkeypatch):
    pretend_versions(monkeypatch, mmcv='2.1.0', mmcv_lite='2.1.0')
    with pytest.raises(ImportError, match='mmcv 2.1.0 and mmcv-lite 2.1.0 are.*pip un'):
        installation.check_mmcv()


@pytest.mark.parametrize('name', ['mmcv', 'mmcv_lite'])
def test_fitting_mmcv(monkeypatch, name):
    pretend_versions(monkeypatch, **{name: '2.1.0'})
    installation.check_mmcv()


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('operator torchvision::nms does not exist'),
        ImportError('undefined symbol'),
    ],
)
def test_torchvision_of_another_torch(monkeypatch, error):
    def fail(name):
        raise error

    monkeypatch.setattr(importlib, 'import_module', fail)
    with pytest.raises(ImportError, match=f'({error}).*pip install --force-reinstall'):
        installation.check_torchvision()


@pytest.mark.parametrize('package', ['diffusers', 'transformers', 'mmagic'])
@pytest.mark.parametrize('error', ['ImportError', 'AttributeError', 'AssertionError'])
def test_failing_import_names_its_package(tmp_path, monkeypatch, package, error):
    (tmp_path / f'{package}.py').write_text(f'raise {error}("cached_download")')
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, package, raising=False)
    remedy = installation.REMEDIES[package].replace('[', r'\[')
    with (
        pytest.raises(ImportError, match=f'^{package} .*cached_download.*{remedy}'),
        explained_imports(),
    ):
        importlib.import_module(package)


def test_name_that_a_package_lacks():
    with (
        pytest.raises(ImportError, match='^mediapipe .*pip install "mediapipe<'),
        explained_imports(),
    ):
        raise ImportError('cannot import name', name='mediapipe.python')


def test_our_own_errors_pass():
    with pytest.raises(ZeroDivisionError), explained_imports():
        _ = 1 / 0
    with pytest.raises(ImportError, match='^mine$'), explained_imports():
        raise ImportError('mine')


def test_numpy_2_gets_the_name_back(monkeypatch):
    monkeypatch.setattr(np, '__version__', '2.5.0')
    monkeypatch.setattr(np, 'bool8', None, raising=False)
    provide_numpy_names()
    assert np.bool8 is np.bool_


def test_preparing_twice_is_cheap_and_imports_no_mmagic():
    script = """
import sys
from fmanet_mm.compat import installation, prepare_openmmlab
assert 'torch' not in sys.modules
prepare_openmmlab()
assert not {'mmagic', 'mmcv', 'mmflow'} & set(sys.modules)
installation.check_installation = None
prepare_openmmlab()
"""
    subprocess.run([sys.executable, '-W', 'ignore', '-c', script], check=True)
