"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .restormer import WindowRestormer

__all__ = ['BicubicUpsampling', 'WindowRestormer']
