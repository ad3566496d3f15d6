"""Every package that needs MMagic can be imported first and alone."""

import subprocess
import sys

import pytest

PACKAGES = ('apis', 'datasets', 'engine', 'evaluation', 'flow', 'preparation.gopro')


@pytest.mark.parametrize('package', PACKAGES)
def test_packages_can_be_imported_alone(package):
    code = f'import fmanet_mm.{package}'
    subprocess.run([sys.executable, '-c', code], check=True)


MODULES = (
    'annotation', 'checkpoint', 'clips', 'files', 'paths', 'quality', 'weights',
    'windows', 'wrappers',
)  # fmt: skip


def test_utilities_need_no_openmmlab_package_but_mmengine():
    names = ', '.join(f'fmanet_mm.utils.{module}' for module in MODULES)
    code = (
        f'import sys, {names}, fmanet_mm.visualization.flow_colours\n'
        'loaded = {name.partition(".")[0] for name in sys.modules}\n'
        'assert not loaded & {"mmagic", "mmcv", "mmflow"}, loaded'
    )
    subprocess.run([sys.executable, '-c', code], check=True)
