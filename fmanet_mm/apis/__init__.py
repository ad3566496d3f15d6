"""MMagic's inferencer for restoring videos."""

from .inferencer import FMANetInferencer
from .registration import register_inferencer

__all__ = ['FMANetInferencer', 'register_inferencer']
