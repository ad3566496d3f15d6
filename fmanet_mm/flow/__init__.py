"""Optical flow: estimators behind one interface, and flow files."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .base import FlowEstimator
from .dis import DISFlowEstimator
from .generate import generate_flow
from .io import flow_filename, load_flow, save_flow
from .raft import MMFlowEstimator

__all__ = [
    'DISFlowEstimator',
    'FlowEstimator',
    'MMFlowEstimator',
    'flow_filename',
    'generate_flow',
    'load_flow',
    'save_flow',
]
