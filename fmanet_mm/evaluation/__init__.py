"""Metrics by the published protocol and in full; the same for folders of results."""

from .folders import evaluate_folders
from .hook import EvaluationReportHook
from .measures import LPIPS, Measures, psnr, ssim, tof
from .metric import TOF, VSRDBMetric
from .protocol import PROTOCOLS, Protocol
from .report import Report

__all__ = [
    'LPIPS',
    'PROTOCOLS',
    'TOF',
    'EvaluationReportHook',
    'Measures',
    'Protocol',
    'Report',
    'VSRDBMetric',
    'evaluate_folders',
    'psnr',
    'ssim',
    'tof',
]
