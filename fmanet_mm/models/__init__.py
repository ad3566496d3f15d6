from .alignment import DeformableAlignment, MultiFlowWarp
from .bicubic import BicubicUpsampling
from .data_preprocessor import VSRDBDataPreprocessor
from .fgdf import (
    DynamicDownsampling,
    DynamicUpsampling,
    FlowGuidedDynamicDownsampling,
    FlowGuidedDynamicUpsampling,
)
from .fmanet import FMANet
from .init import StrictPretrainedInit
from .modulation import ModulationHalf
from .multi_attention import AttentionHalf, SelfAttentionHalf
from .net_d import Degradation, NetD
from .net_r import NetR, Restoration
from .restormer import WindowRestormer

__all__ = [
    'AttentionHalf',
    'BicubicUpsampling',
    'DeformableAlignment',
    'Degradation',
    'DynamicDownsampling',
    'DynamicUpsampling',
    'FMANet',
    'FlowGuidedDynamicDownsampling',
    'FlowGuidedDynamicUpsampling',
    'ModulationHalf',
    'MultiFlowWarp',
    'NetD',
    'NetR',
    'Restoration',
    'SelfAttentionHalf',
    'StrictPretrainedInit',
    'VSRDBDataPreprocessor',
    'WindowRestormer',
]
