"""FMA-Net: joint video super-resolution and deblurring.

Restoring needs :mod:`fmanet_mm.restoration` alone. Training in OpenMMLab begins with
``import fmanet_mm.openmmlab``, which registers everything.
"""

from .version import __version__

__all__ = ['__version__']
