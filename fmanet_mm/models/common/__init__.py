"""Parts that several families share."""

from .alignment import DeformableAlignment, MultiFlowWarp
from .fgdf import (
    DynamicDownsampling,
    DynamicUpsampling,
    FlowGuidedDynamicDownsampling,
    FlowGuidedDynamicUpsampling,
)
from .pretrained import StrictPretrainedInit

__all__ = [
    'DeformableAlignment',
    'DynamicDownsampling',
    'DynamicUpsampling',
    'FlowGuidedDynamicDownsampling',
    'FlowGuidedDynamicUpsampling',
    'MultiFlowWarp',
    'StrictPretrainedInit',
]
