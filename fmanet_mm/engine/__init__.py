"""Training and testing: runner, loop, hooks and checkpoints."""

from ..compat import prepare_openmmlab

prepare_openmmlab()

from .checkpointing import (
    AtomicBackend,
    SafeCheckpointHook,
    find_resumable_checkpoint,
    read_checkpoint,
)
from .fine_tuning import FineTuneHook, adopt_network
from .guards import FiniteGuardHook
from .hooks import (
    CudnnSearchHook,
    LearningRateHook,
    SaveMetricsHook,
    StrictCheckpointHook,
)
from .launch import (
    base_parser,
    build_runner,
    end_process,
    existing_file,
    load_config,
)
from .loop import PositionedDataset, PositionedSampler, ResumableTrainLoop
from .optim_wrapper import Bf16OptimWrapper
from .runner import SafeRunner

__all__ = [
    'AtomicBackend',
    'Bf16OptimWrapper',
    'CudnnSearchHook',
    'FineTuneHook',
    'FiniteGuardHook',
    'LearningRateHook',
    'PositionedDataset',
    'PositionedSampler',
    'ResumableTrainLoop',
    'SafeCheckpointHook',
    'SafeRunner',
    'SaveMetricsHook',
    'StrictCheckpointHook',
    'adopt_network',
    'base_parser',
    'build_runner',
    'end_process',
    'existing_file',
    'find_resumable_checkpoint',
    'load_config',
    'read_checkpoint',
]
