from pathlib import Path

import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from ..utils.checkpoint import describe_misfit
from .checkpointing import ATOMIC


class StrictCheckpointHook(Hook):
    """Refuse a checkpoint whose weights are not exactly those of the model.

    MMEngine only warns about weights that are missing, left over or of another
    shape, and goes on with random ones.

    Args:
        name (str): File name or address of the checkpoint, for the message.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare names and shapes.

        Raises:
            ValueError: If they differ; it lists the first of each kind.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        given = {
            name.removeprefix('module.'): value
            for name, value in checkpoint.get('state_dict', checkpoint).items()
            if isinstance(value, torch.Tensor)
        }
        misfit = describe_misfit(model.state_dict(), given)
        if misfit:
            raise ValueError(
                f'The weights in {self.name} do not fit {type(model).__name__}: '
                f'{misfit}. Use a checkpoint trained with this config (the same stage '
                'and the same size of the network).'
            )


class SaveMetricsHook(Hook):
    """Write the metrics of a test to a file.

    Args:
        path (str): A .json, .yml, .yaml or .pkl file; its folder is made if need be.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write ``metrics`` once, from the main process."""
        if not is_main_process():
            return
        mmengine.dump(metrics, self.path, backend_args=ATOMIC)
