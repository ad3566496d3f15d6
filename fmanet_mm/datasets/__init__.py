"""VSRDB datasets, their transforms, samplers and data preprocessor."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .bad_samples import SkipBadSamples
from .clips import GoProClipDataset, REDSClipDataset
from .data_preprocessor import VSRDBDataPreprocessor
from .gopro import GoProVSRDBDataset
from .reds import REDSVSRDBDataset
from .reds_me import REDSMEDataset, REDSREDataset
from .samplers import ContiguousSampler
from .synthetic_motion import SyntheticClipDataset, SyntheticMotionDataset
from .transforms import (
    CentreWindow,
    CheckScale,
    EstimateFlow,
    LoadFlow,
    LoadFrames,
    PackClip,
    RandomViews,
    RealisticDegradation,
    VSRDBRandomChannels,
    VSRDBRandomCrop,
    VSRDBRandomFlip,
    VSRDBRandomTranspose,
)
from .vsrdb import VSRDBDataset

__all__ = [
    'CentreWindow',
    'CheckScale',
    'ContiguousSampler',
    'EstimateFlow',
    'GoProClipDataset',
    'GoProVSRDBDataset',
    'LoadFlow',
    'LoadFrames',
    'PackClip',
    'REDSClipDataset',
    'REDSMEDataset',
    'REDSREDataset',
    'REDSVSRDBDataset',
    'RandomViews',
    'RealisticDegradation',
    'SkipBadSamples',
    'SyntheticClipDataset',
    'SyntheticMotionDataset',
    'VSRDBDataPreprocessor',
    'VSRDBDataset',
    'VSRDBRandomChannels',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
    'VSRDBRandomTranspose',
]
