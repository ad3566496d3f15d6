"""FMA-Net for MMagic; importing this package registers its parts."""

import warnings

from .version import __version__

with warnings.catch_warnings():
    # MMagic's requirements warn of one another, which no user can change.
    warnings.simplefilter('ignore')
    from . import apis, datasets, engine, evaluation, flow, models  # noqa: F401

__all__ = ['__version__']

apis.register_inferencer()
