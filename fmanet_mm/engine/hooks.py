import os
from collections.abc import Mapping
from pathlib import Path

import mmengine
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


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
        needed = _shapes(model.state_dict())
        given = _shapes(checkpoint.get('state_dict', checkpoint))
        problems = {
            'missing': [key for key in needed if key not in given],
            'not known to the model': [key for key in given if key not in needed],
            'of another shape': [
                f'{key} {given[key]} instead of {needed[key]}'
                for key in needed
                if key in given and given[key] != needed[key]
            ],
        }
        found = [f'{len(k)} {what} ({_first(k)})' for what, k in problems.items() if k]
        if found:
            raise ValueError(
                f'The weights in {self.name} do not fit {type(model).__name__}: '
                f'{"; ".join(found)}. Use a checkpoint trained with this config '
                '(the same stage and the same size of the network).'
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f'.unfinished_{self.path.name}')
        mmengine.dump(metrics, unfinished)
        os.replace(unfinished, self.path)


def _shapes(state_dict: Mapping) -> dict[str, tuple]:
    return {
        key.removeprefix('module.'): tuple(value.shape)
        for key, value in state_dict.items()
        if isinstance(value, torch.Tensor)
    }


def _first(names: list[str], count: int = 3) -> str:
    return ', '.join(names[:count]) + (', ...' if len(names) > count else '')
