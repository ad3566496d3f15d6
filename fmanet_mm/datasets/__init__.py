"""VSRDB datasets, their transforms, samplers and data preprocessor."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .bad_samples import SkipBadSamples
from .data_preprocessor import VSRDBDataPreprocessor
from .gopro import GoProVSRDBDataset
from .reds import REDSVSRDBDataset
from .samplers import ContiguousSampler
from .synthetic_motion import SyntheticMotionDataset
from .transforms import (
    CheckScale,
    EstimateFlow,
    LoadFlow,
    LoadFrames,
    RealisticDegradation,
    VSRDBRandomChannels,
    VSRDBRandomCrop,
    VSRDBRandomFlip,
    VSRDBRandomTranspose,
)
from .vsrdb import VSRDBDataset

__all__ = [
    'CheckScale',
    'ContiguousSampler',
    'EstimateFlow',
    'GoProVSRDBDataset',
    'LoadFlow',
    'LoadFrames',
    'REDSVSRDBDataset',
    'RealisticDegradation',
    'SkipBadSamples',
    'SyntheticMotionDataset',
    'VSRDBDataPreprocessor',
    'VSRDBDataset',
    'VSRDBRandomChannels',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
    'VSRDBRandomTranspose',
]
