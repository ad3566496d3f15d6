"""Models inside wrappers for distributed training."""

from mmengine.model import is_model_wrapper
from torch import nn


def unwrap_model(model: nn.Module) -> nn.Module:
    """Give the model inside a ``DistributedDataParallel`` or the like, or itself."""
    return model.module if is_model_wrapper(model) else model
