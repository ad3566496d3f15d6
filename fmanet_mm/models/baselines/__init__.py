"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .edvr import PredeblurEDVR
from .restormer import WindowRestormer

__all__ = ['BicubicUpsampling', 'PredeblurEDVR', 'WindowRestormer']
