"""Exporting networks to .safetensors, .onnx and .pt2."""

from .network import export_network

__all__ = ['export_network']
