"""Networks, by family; importing this package registers them."""

from .baselines import (
    HOFFR,
    RVRT,
    STFAN,
    BicubicUpsampling,
    HOFFRModel,
    PredeblurEDVR,
    RecurrentModel,
    STFANOnBicubic,
    STFANOnLR,
    WindowRestormer,
)
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
    'HOFFR',
    'RVRT',
    'STFAN',
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
    'HOFFRModel',
    'MultiFlowWarp',
    'NetD',
    'NetR',
    'PredeblurEDVR',
    'RecurrentModel',
    'Restoration',
    'STFANOnBicubic',
    'STFANOnLR',
    'SelfAttention',
    'StrictPretrainedInit',
    'WindowRestormer',
]
