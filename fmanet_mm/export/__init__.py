from .description import Description
from .export import export_network
from .safetensors import load_safetensors_model, save_safetensors
from ..restoration.exported import WindowModel, WindowRestorer, load_window_model

__all__ = [
    'Description',
    'WindowModel',
    'WindowRestorer',
    'export_network',
    'load_safetensors_model',
    'load_window_model',
    'save_safetensors',
]
