"""Metrics by the published protocol and in full, of models and of files."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .comparison import Comparison, Method, compare_methods
from .exposure import (
    ExposureKNNAccuracy,
    ExposureSwap,
    kernel_spread,
    swap_exposure,
)
from .folders import evaluate_folders
from .hook import EvaluationReportHook
from .measures import LPIPS, Measures, niqe, psnr, ssim, tof
from .metric import VSRDBMetric
from .protocol import PROTOCOLS, Protocol
from .report import Report

__all__ = [
    'LPIPS',
    'PROTOCOLS',
    'Comparison',
    'EvaluationReportHook',
    'ExposureKNNAccuracy',
    'ExposureSwap',
    'Measures',
    'Method',
    'Protocol',
    'Report',
    'VSRDBMetric',
    'compare_methods',
    'evaluate_folders',
    'kernel_spread',
    'niqe',
    'psnr',
    'ssim',
    'swap_exposure',
    'tof',
]
