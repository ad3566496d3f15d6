"""VSRDB datasets and the transforms of their pipelines."""

from .transforms import EstimateFlow

__all__ = ['EstimateFlow']
