from .checkpointing import (
    AtomicBackend,
    SafeCheckpointHook,
    find_resumable_checkpoint,
    read_checkpoint,
)
from .guards import FiniteGuardHook, LearningRateHook
from .hooks import SaveMetricsHook, StrictCheckpointHook
from .launch import base_parser, build_runner, existing_file, load_config
from .loop import DrawDataset, DrawSampler, ResumableTrainLoop
from .optim_wrapper import Bf16OptimWrapper
from .runner import SafeRunner

__all__ = [
    'AtomicBackend',
    'Bf16OptimWrapper',
    'DrawDataset',
    'DrawSampler',
    'FiniteGuardHook',
    'LearningRateHook',
    'ResumableTrainLoop',
    'SafeCheckpointHook',
    'SafeRunner',
    'SaveMetricsHook',
    'StrictCheckpointHook',
    'base_parser',
    'build_runner',
    'existing_file',
    'find_resumable_checkpoint',
    'load_config',
    'read_checkpoint',
]
