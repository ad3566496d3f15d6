"""Transforms that treat the frames of a window and their flow consistently."""

from .clips import CentreWindow, PackClip, RandomViews
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
    'CentreWindow',
    'CheckScale',
    'EstimateFlow',
    'LoadFlow',
    'LoadFrames',
    'PackClip',
    'RandomViews',
    'RealisticDegradation',
    'VSRDBRandomChannels',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
    'VSRDBRandomTranspose',
]
