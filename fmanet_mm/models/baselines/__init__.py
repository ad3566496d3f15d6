"""Baselines for comparison, besides MMagic's own networks."""

from .bicubic import BicubicUpsampling
from .edvr import PredeblurEDVR
from .hoffr import HOFFR, HOFFRModel
from .recurrent import RecurrentModel
from .restormer import WindowRestormer
from .rvrt import RVRT
from .stfan import STFAN, STFANOnBicubic, STFANOnLR

__all__ = [
    'HOFFR',
    'RVRT',
    'STFAN',
    'BicubicUpsampling',
    'HOFFRModel',
    'PredeblurEDVR',
    'RecurrentModel',
    'STFANOnBicubic',
    'STFANOnLR',
    'WindowRestormer',
]
