"""Networks, by family; importing this package registers them."""

from .baselines import RVRT, BicubicUpsampling, PredeblurEDVR, WindowRestormer
from .common import (
    DeformableAlignment,
    DynamicDownsampling,
    DynamicUpsampling,
    FlowGuidedDynamicDownsampling,
    FlowGuidedDynamicUpsampling,
    MultiFlowWarp,
    StrictPretrainedInit,
)
from .common.modulation import GuidedModulation
from .common.multi_attention import GuidedAttention, SelfAttention
from .fmanet import Degradation, FMANet, NetD, NetR, Restoration

__all__ = [
    'RVRT',
    'GuidedAttention',
    'BicubicUpsampling',
    'DeformableAlignment',
    'Degradation',
    'DynamicDownsampling',
    'DynamicUpsampling',
    'FMANet',
    'FlowGuidedDynamicDownsampling',
    'FlowGuidedDynamicUpsampling',
    'GuidedModulation',
    'MultiFlowWarp',
    'NetD',
    'NetR',
    'PredeblurEDVR',
    'Restoration',
    'SelfAttention',
    'StrictPretrainedInit',
    'WindowRestormer',
]
