"""MMagic's inferencer for restoring videos."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .inferencer import FMANetInferencer
from .registration import register_inferencer

__all__ = ['FMANetInferencer', 'register_inferencer']
