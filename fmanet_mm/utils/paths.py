from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def config_root() -> Path:
    """Find the folder of the project's configs, in a checkout or in a wheel.

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
        'The configs of fmanet_mm were not found in '
        + ' or '.join(str(place) for place in places)
        + '. Install the package again, or use it from a full checkout.'
    )
