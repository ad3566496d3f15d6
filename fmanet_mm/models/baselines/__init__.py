"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .edvr import PredeblurEDVR
from .restormer import WindowRestormer
from .rvrt import RVRT

__all__ = ['RVRT', 'BicubicUpsampling', 'PredeblurEDVR', 'WindowRestormer']
