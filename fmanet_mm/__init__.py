"""FMA-Net for MMagic; importing this package registers its parts."""

from . import datasets, engine, flow, models  # noqa: F401
from .version import __version__

__all__ = ['__version__']
