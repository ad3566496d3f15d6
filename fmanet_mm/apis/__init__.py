"""MMagic's inferencer for restoring videos."""

from .inferencer import VSRDBInferencer
from .registration import register_inferencer

__all__ = ['VSRDBInferencer', 'register_inferencer']
