"""Transforms that treat the frames of a window and their flow consistently."""

from .degradation import RealisticDegradation
from .flow_estimation import EstimateFlow
from .geometry import (
    CheckScale,
    VSRDBRandomChannels,
    VSRDBRandomCrop,
    VSRDBRandomFlip,
    VSRDBRandomTranspose,
)
from .loading import LoadFlow, LoadFrames

__all__ = [
    'CheckScale',
    'EstimateFlow',
    'LoadFlow',
    'LoadFrames',
    'RealisticDegradation',
    'VSRDBRandomChannels',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
    'VSRDBRandomTranspose',
]
