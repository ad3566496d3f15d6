"""Transforms that keep the frames of a window and their flow in step."""

from .flow_estimation import EstimateFlow

__all__ = ['EstimateFlow']
