"""MMagic's inferencer for restoring videos."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .inferencer import VSRDBInferencer
from .registration import register_inferencer

__all__ = ['VSRDBInferencer', 'register_inferencer']
