from .data_preprocessor import VSRDBDataPreprocessor
from .fgdf import FlowGuidedDynamicDownsampling, FlowGuidedDynamicUpsampling
from .fmanet import FMANet
from .init import StrictPretrainedInit
from .net_d import Degradation, NetD
from .net_r import NetR, Restoration

__all__ = [
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
