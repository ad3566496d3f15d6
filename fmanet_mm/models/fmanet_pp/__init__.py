"""FMA-Net++ (ECCV 2026, arXiv 2512.04390)."""

from .contrastive import SupervisedContrastiveLoss
from .exposure import ExposureExtractor
from .exposure_model import FMANetPPExposure
from .fmanet_pp import FMANetPP, FMANetPPStage1
from .kernel_embedding import PointwiseKernelEmbedding, TapKernelEmbedding
from .net_d import ClipDegradation, SequenceNetD
from .net_r import SequenceNetR

__all__ = [
    'ClipDegradation',
    'ExposureExtractor',
    'FMANetPP',
    'FMANetPPExposure',
    'FMANetPPStage1',
    'PointwiseKernelEmbedding',
    'SequenceNetD',
    'SequenceNetR',
    'SupervisedContrastiveLoss',
    'TapKernelEmbedding',
]
