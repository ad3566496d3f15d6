"""RVRT (arXiv 2206.02146), for joint super-resolution and deblurring."""

from .rvrt import RVRT

__all__ = ['RVRT']
