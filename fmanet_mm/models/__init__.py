"""Networks, by family; importing this package registers them."""

from .baselines import BicubicUpsampling, WindowRestormer
from .common import (
    DeformableAlignment,
    DynamicDownsampling,
    DynamicUpsampling,
    FlowGuidedDynamicDownsampling,
    FlowGuidedDynamicUpsampling,
    MultiFlowWarp,
    StrictPretrainedInit,
)
from .common.modulation import ModulationHalf
from .common.multi_attention import AttentionHalf, SelfAttentionHalf
from .fmanet import Degradation, FMANet, NetD, NetR, Restoration

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
    'WindowRestormer',
]
