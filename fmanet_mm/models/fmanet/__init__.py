"""FMA-Net (CVPR 2024, arXiv 2401.03707)."""

from .fmanet import FMANet
from .net_d import Degradation, NetD
from .net_r import NetR, Restoration

__all__ = ['Degradation', 'FMANet', 'NetD', 'NetR', 'Restoration']
