"""Workarounds for MMagic, mmcv and MMFlow, one module for each problem."""

from .mmcv_ops import provide_mmcv_ops

__all__ = ['prepare_openmmlab']


def prepare_openmmlab() -> None:
    """Make MMagic and mmcv importable; call it before importing either."""
    provide_mmcv_ops()
