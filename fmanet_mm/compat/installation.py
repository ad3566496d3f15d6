"""Finds installations that MMagic, mmcv or MMFlow cannot work in.

Their own errors name a line of code or an operator, not the package at fault.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Iterator

from mmengine.utils import digit_version

PYTHON_BEFORE = (3, 13)
"""First CPython that has no builds of what MMagic needs."""

MMCV_FROM, MMCV_BEFORE = '2.0.0', '2.2.0'
"""First mmcv that MMagic 1.2 accepts, and the first that it refuses."""

INSTALL_TRAIN = 'pip install "fmanet_mm[train]"'
INSTALL_MMCV = 'pip install "mmcv-lite>=2.1,<2.2"'

REMEDIES = {
    'diffusers': 'pip install "diffusers>=0.23,<0.25" "huggingface_hub<0.26"',
    'transformers': 'pip install "transformers<4.42" "huggingface_hub<0.26"',
    'huggingface_hub': 'pip install "huggingface_hub<0.26"',
    'albumentations': 'pip install "albumentations<1.4"',
    'controlnet_aux': 'pip install "controlnet_aux<0.0.8"',
    'mediapipe': 'pip install "mediapipe<0.10.22" "numpy<2"',
    'mmcv': INSTALL_MMCV,
    'mmagic': INSTALL_TRAIN,
}
"""Packages that fail while MMagic is imported, and what mends each."""


def check_installation() -> None:
    """Check that MMagic can be imported here.

    Raises:
        ImportError: If it cannot; the message has the command that mends it.
    """
    check_python()
    for package in ('mmagic', 'mmcv', 'torchvision'):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f'{package} is not installed; training and evaluating in OpenMMLab '
                f'need it: {INSTALL_TRAIN}'
            )
    check_mmcv()
    check_torchvision()


def check_python() -> None:
    """Raise an ImportError if MMagic has no builds for this Python."""
    if sys.version_info[:2] >= PYTHON_BEFORE:
        raise ImportError(
            'this is Python {}.{}, but MMagic and its requirements need 3.10, 3.11 or '
            '3.12; make an environment with one of these: PYTHON=/path/to/python3.11 '
            'bash tools/setup_env.sh (restoring videos works with this Python, too)'
            ''.format(*sys.version_info)
        )


def check_mmcv() -> None:
    """Raise an ImportError if mmcv has a wrong version, or is installed twice."""
    installed = {
        name: found
        for name in ('mmcv', 'mmcv-lite', 'mmcv-full')
        if (found := installed_version(name)) is not None
    }
    listed = ' and '.join(f'{name} {found}' for name, found in installed.items())
    mend = f'pip uninstall -y {" ".join(installed)} && {INSTALL_MMCV}'
    if len(installed) > 1:
        raise ImportError(
            f'{listed} are installed and overwrite each other; keep one: {mend}'
        )
    for found in installed.values():
        if not (
            digit_version(MMCV_FROM)
            <= digit_version(found)
            < digit_version(MMCV_BEFORE)
        ):
            raise ImportError(
                f'{listed} is installed, but MMagic 1.2 needs mmcv>={MMCV_FROM},'
                f'<{MMCV_BEFORE}: {mend}'
            )


def check_torchvision() -> None:
    """Raise an ImportError if torchvision was not built for the installed torch."""
    try:
        importlib.import_module('torchvision')
        _ = importlib.import_module('torch').ops.torchvision.deform_conv2d
    # A missing operator is a RuntimeError or an AttributeError, by version.
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise ImportError(
            f'torchvision {installed_version("torchvision")} does not work with torch '
            f'{installed_version("torch")} ({error}); install a pair that matches: '
            'pip install --force-reinstall torch torchvision'
        ) from error


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution; None if it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@contextlib.contextmanager
def explained_imports() -> Iterator[None]:
    """Say what to install if MMagic, or a package that it imports, fails.

    Raises:
        ImportError: If an error comes from one of these packages. Other errors pass
            unchanged.
    """
    try:
        yield
    except Exception as error:
        package = failing_package(error)
        if package is None:
            raise
        raise ImportError(
            f'{package} {installed_version(package) or ""} cannot be imported '
            f'({error}); MMagic needs a version that fits: {REMEDIES[package]}'
        ) from error


def failing_package(error: Exception) -> str | None:
    """Find which of the packages in :data:`REMEDIES` an error comes from.

    Args:
        error (Exception): Caught while they were imported.

    Returns:
        str | None: The innermost of them, or None if our own code failed.
    """
    modules = [getattr(error, 'name', None) or '']
    for frame, _ in traceback.walk_tb(error.__traceback__):
        modules.insert(1, frame.f_globals.get('__name__', ''))
    for module in modules:
        package = module.partition('.')[0]
        if package in REMEDIES:
            return package
        if package == __package__.partition('.')[0]:
            return None
    return None
