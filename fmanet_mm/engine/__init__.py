from .hooks import SaveMetricsHook, StrictCheckpointHook
from .launch import base_parser, build_runner, existing_file, load_config
from .optim_wrapper import Bf16OptimWrapper

__all__ = [
    'Bf16OptimWrapper',
    'SaveMetricsHook',
    'StrictCheckpointHook',
    'base_parser',
    'build_runner',
    'existing_file',
    'load_config',
]
