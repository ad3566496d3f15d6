"""Folders of the installed package."""

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
