"""VSRDB datasets, the transforms of their pipelines, and their sampler."""

from .bad_samples import SkipBadSamples
from .gopro import GoProVSRDBDataset
from .reds import REDSVSRDBDataset
from .samplers import ContiguousSampler
from .synthetic_motion import SyntheticMotionDataset
from .transforms import (
    CheckScale,
    EstimateFlow,
    LoadFlow,
    LoadFrames,
    VSRDBRandomCrop,
    VSRDBRandomFlip,
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
    'SkipBadSamples',
    'SyntheticMotionDataset',
    'VSRDBDataset',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
]
