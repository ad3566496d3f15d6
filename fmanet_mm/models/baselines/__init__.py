"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .recurrent import RecurrentModel
from .restormer import WindowRestormer
from .stfan import STFAN, STFANOnBicubic, STFANOnLR

__all__ = [
    'STFAN',
    'BicubicUpsampling',
    'RecurrentModel',
    'STFANOnBicubic',
    'STFANOnLR',
    'WindowRestormer',
]
