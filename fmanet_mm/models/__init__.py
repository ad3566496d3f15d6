from .bicubic import BicubicUpsampling
from .data_preprocessor import VSRDBDataPreprocessor
from .fgdf import FlowGuidedDynamicDownsampling, FlowGuidedDynamicUpsampling
from .fmanet import FMANet
from .init import StrictPretrainedInit
from .net_d import Degradation, NetD
from .net_r import NetR, Restoration

__all__ = [
    'BicubicUpsampling',
    'Degradation',
    'FMANet',
    'FlowGuidedDynamicDownsampling',
    'FlowGuidedDynamicUpsampling',
    'NetD',
    'NetR',
    'Restoration',
    'StrictPretrainedInit',
    'VSRDBDataPreprocessor',
]
