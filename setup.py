"""Packaging: a wheel carries configs and tools inside the package, under ``.mim``."""

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Put what OpenMMLab's tools look for into ``fmanet_mm/.mim``.

    A wheel gets copies; an editable install gets links, so that edits count.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            self._link(ROOT / 'fmanet_mm/.mim')
        else:
            self._copy(Path(self.build_lib, 'fmanet_mm/.mim'))

    def _link(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        for name in CARRIED:
            link = folder / name
            if link.is_symlink():
                link.unlink()
            link.symlink_to(os.path.relpath(ROOT / name, folder))

    def _copy(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in CARRIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name,
                    folder / name,
                    ignore=shutil.ignore_patterns('__pycache__'),
                )
            else:
                shutil.copy2(ROOT / name, folder)


def version() -> str:
    found = {}
    exec((ROOT / 'fmanet_mm/version.py').read_text(), found)
    return found['__version__']


def requirements(name: str) -> list[str]:
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    wanted = (line.partition('#')[0].strip() for line in lines)
    return [line for line in wanted if line]


setup(
    name='fmanet_mm',
    version=version(),
    description='FMA-Net, joint video super-resolution and deblurring, for MMagic',
    license='Apache-2.0',
    python_requires='>=3.11,<3.12',
    packages=find_packages(include=['fmanet_mm', 'fmanet_mm.*']),
    install_requires=requirements('runtime'),
    extras_require={name: requirements(name) for name in ('tests', 'export')},
    package_data={'fmanet_mm.visualization.compare_page': ['*.html', '*.css', '*.js']},
    entry_points={
        'console_scripts': ['fmanet-restore = fmanet_mm.cli.restore_video:main']
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
