"""FMA-Net for MMagic; importing this package registers its parts."""

from . import apis, datasets, engine, evaluation, flow, models  # noqa: F401
from .apis import register_inferencer
from .version import __version__

__all__ = ['__version__']

register_inferencer()
