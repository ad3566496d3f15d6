"""Folders of the installed package, and the configs in them."""

import os
from os import PathLike
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def config_root() -> Path:
    """Find the folder of the configs, in a checkout or in an installed wheel.

    A wheel carries ``configs/`` inside the package under ``.mim``, where OpenMMLab
    tools look for it; a checkout has it next to the package.

    Returns:
        Path: Absolute path of ``configs/``.

    Raises:
        FileNotFoundError: If neither place has it.
    """
    places = [PACKAGE / '.mim' / 'configs', PACKAGE.parent / 'configs']
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise FileNotFoundError(
        'the configs of fmanet_mm were not found in '
        + ' or '.join(str(place) for place in places)
        + '; install the package again, or use a complete checkout'
    )


def find_config(config: str | PathLike) -> Path:
    """Find a config file, by its path or as one of the project's by its name.

    Args:
        config (str | PathLike): A path, or a name such as ``'fmanet_stage2'`` or
            ``'baselines/bicubic'``.

    Raises:
        FileNotFoundError: If there is no such file and no such name.
    """
    path = Path(config)
    if os.path.isfile(path):
        return path
    named = config_root() / path.parent / f'{path.name.removesuffix(".py")}.py'
    if named.is_file() and named.resolve().is_relative_to(config_root()):
        return named
    raise FileNotFoundError(
        f'there is no config {config}; check the path, or name one of '
        + ', '.join(sorted(file.stem for file in config_root().glob('*_stage2*.py')))
    )
