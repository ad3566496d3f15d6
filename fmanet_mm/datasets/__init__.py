"""VSRDB datasets and the transforms of their pipelines."""

from .gopro import GoProVSRDBDataset
from .reds import REDSVSRDBDataset
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
    'EstimateFlow',
    'GoProVSRDBDataset',
    'LoadFlow',
    'LoadFrames',
    'REDSVSRDBDataset',
    'SyntheticMotionDataset',
    'VSRDBDataset',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
]
