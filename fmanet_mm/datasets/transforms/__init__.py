"""Transforms that treat the frames of a window and their flow consistently."""

from .flow_estimation import EstimateFlow
from .geometry import CheckScale, VSRDBRandomCrop, VSRDBRandomFlip
from .loading import LoadFlow, LoadFrames

__all__ = [
    'CheckScale',
    'EstimateFlow',
    'LoadFlow',
    'LoadFrames',
    'VSRDBRandomCrop',
    'VSRDBRandomFlip',
]
