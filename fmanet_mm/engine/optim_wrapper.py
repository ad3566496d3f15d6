"""Mixed precision without a GPU."""

from contextlib import contextmanager

import torch
from mmagic.registry import OPTIM_WRAPPERS
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """Mixed precision training in bfloat16, on a CPU too.

    MMEngine's ``AmpOptimWrapper`` needs a GPU for its gradient scaler. bfloat16 has
    the exponent range of float32, so gradients need no scaling.
    """

    @contextmanager
    def optim_context(self, model: torch.nn.Module):
        """Run the forward pass of ``model`` under bfloat16 autocast."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield
