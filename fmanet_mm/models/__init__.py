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
from .common.modulation import GuidedModulation
from .common.multi_attention import GuidedAttention, SelfAttention
from .fmanet import Degradation, FMANet, NetD, NetR, Restoration
from .fmanet_pp import (
    ClipDegradation,
    ExposureExtractor,
    FMANetPP,
    FMANetPPExposure,
    FMANetPPStage1,
    PointwiseKernelEmbedding,
    SequenceNetD,
    SequenceNetR,
    SupervisedContrastiveLoss,
    TapKernelEmbedding,
)

__all__ = [
    'GuidedAttention',
    'BicubicUpsampling',
    'ClipDegradation',
    'DeformableAlignment',
    'Degradation',
    'DynamicDownsampling',
    'DynamicUpsampling',
    'ExposureExtractor',
    'FMANet',
    'FMANetPP',
    'FMANetPPExposure',
    'FMANetPPStage1',
    'FlowGuidedDynamicDownsampling',
    'FlowGuidedDynamicUpsampling',
    'GuidedModulation',
    'MultiFlowWarp',
    'NetD',
    'NetR',
    'PointwiseKernelEmbedding',
    'Restoration',
    'SelfAttention',
    'SequenceNetD',
    'SequenceNetR',
    'StrictPretrainedInit',
    'SupervisedContrastiveLoss',
    'TapKernelEmbedding',
    'WindowRestormer',
]
