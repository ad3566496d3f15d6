"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .hoffr import HOFFR, HOFFRModel
from .recurrent import RecurrentModel
from .restormer import WindowRestormer
from .stfan import STFAN, STFANOnBicubic, STFANOnLR

__all__ = [
    'HOFFR',
    'STFAN',
    'BicubicUpsampling',
    'HOFFRModel',
    'RecurrentModel',
    'STFANOnBicubic',
    'STFANOnLR',
    'WindowRestormer',
]
