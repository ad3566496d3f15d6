"""Steps of the optimizer: mixed precision, and one kernel for all weights."""

from contextlib import contextmanager

import torch
from mmagic.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast

_FUSED_OPTIMIZERS = ('Adam', 'AdamW')

_STEP_SETTINGS = ('foreach', 'fused')


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Mixed precision training in bfloat16, on GPUs that have it and on CPUs.

    bfloat16 has the exponent range of float32, so gradients need no scaling. MMEngine's
    ``AmpOptimWrapper`` scales them, which needs a GPU.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Run the forward pass of ``model`` under bfloat16 autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def with_fused_step(wrapper: dict, device: torch.device) -> dict:
    """Let Adam update all weights in one kernel on a GPU, instead of in hundreds.

    Not where gradients are scaled: the scaler would leave it to that kernel to skip
    steps, which :class:`~fmanet_mm.engine.FiniteGuardHook` would take for bad ones.

    Args:
        wrapper (dict): Config of an optimizer wrapper.
        device (torch.device): Of the weights.

    Returns:
        dict: The config; a changed copy if it does not choose ``fused`` or ``foreach``.
    """
    optimizer = wrapper.get('optimizer')
    if (
        device.type != 'cuda'
        or wrapper.get('type') == 'AmpOptimWrapper'
        or not isinstance(optimizer, dict)
        or optimizer.get('type') not in _FUSED_OPTIMIZERS
        or any(setting in optimizer for setting in _STEP_SETTINGS)
    ):
        return wrapper
    return {**wrapper, 'optimizer': {**optimizer, 'fused': True}}


def keep_step_settings(saved: dict, optimizer: torch.optim.Optimizer) -> None:
    """Let a resumed optimizer compute its steps as configured, not as before.

    Args:
        saved (dict): State of an optimizer or its wrapper, which is changed.
        optimizer (torch.optim.Optimizer): The one that will load it.
    """
    for group in saved['param_groups']:
        for setting in _STEP_SETTINGS:
            if setting in optimizer.defaults:
                group[setting] = optimizer.defaults[setting]
