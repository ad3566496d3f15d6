"""Packaging: a wheel carries configs and tools inside the package, under ``.mim``.

Everything else is stated in pyproject.toml.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
CARRIED = ('configs', 'tools', 'model-index.yml')


class BuildWithMim(build_py):
    """Put what OpenMMLab's tools look for into ``fmanet_mm/.mim``.

    A wheel gets copies; an editable install gets links, so that edits count, or copies
    where links are not allowed.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            self._link(ROOT / 'fmanet_mm/.mim')
        else:
            self._copy(Path(self.build_lib, 'fmanet_mm/.mim'))

    def _link(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        try:
            for name in CARRIED:
                link = folder / name
                if link.is_symlink():
                    link.unlink()
                link.symlink_to(os.path.relpath(ROOT / name, folder))
        except OSError:
            # Windows allows links to administrators and developers only.
            self._copy(folder)

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


setup(cmdclass={'build_py': BuildWithMim})
