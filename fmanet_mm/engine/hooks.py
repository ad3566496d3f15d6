"""Small hooks of training and testing."""

from pathlib import Path

import mmengine
import torch
from mmagic.registry import HOOKS
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ..utils.checkpoint import describe_misfit
from ..utils.wrappers import unwrap_model
from .checkpointing import ATOMIC


@HOOKS.register_module()
class LearningRateHook(Hook):
    """Log the learning rate of each net of the model, such as ``net_d.lr``.

    MMEngine logs only that of the optimizer's first parameters. Of a net with several
    rates, the highest is logged.
    """

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Log the learning rates of the iteration."""
        rates = {
            id(parameter): group['lr']
            for group in runner.optim_wrapper.param_groups
            for parameter in group['params']
        }
        for name, net in unwrap_model(runner.model).named_children():
            of_net = [rates[id(p)] for p in net.parameters() if id(p) in rates]
            if of_net:
                runner.message_hub.update_scalar(f'train/{name}.lr', max(of_net))


@HOOKS.register_module()
class CudnnSearchHook(Hook):
    """Let cuDNN search for the fastest convolutions in training only.

    With ``env_cfg.cudnn_benchmark`` it runs every algorithm once for each new size of
    an image, in a workspace that fits the most demanding one, up to all memory that is
    free. That pays for patches of one size, but complete frames took 18 GiB.
    """

    def __init__(self) -> None:
        self._searched = False

    def before_val(self, runner: Runner) -> None:
        """Stop searching."""
        self._searched = torch.backends.cudnn.benchmark
        torch.backends.cudnn.benchmark = False

    def after_val(self, runner: Runner) -> None:
        """Search as before."""
        torch.backends.cudnn.benchmark = self._searched

    before_test = before_val
    after_test = after_val


class StrictCheckpointHook(Hook):
    """Refuse a checkpoint whose weights are not exactly those of the model.

    MMEngine only warns about missing, left-over or misshapen weights and continues
    with random ones.

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
        model = unwrap_model(runner.model)
        given = {
            name.removeprefix('module.'): value
            for name, value in checkpoint.get('state_dict', checkpoint).items()
            if isinstance(value, torch.Tensor)
        }
        misfit = describe_misfit(model.state_dict(), given)
        if misfit:
            raise ValueError(
                f'the weights in {self.name} do not fit {type(model).__name__}: '
                f'{misfit}; use a checkpoint trained with this config (the same stage '
                'and the same size of the network)'
            )


class SaveMetricsHook(Hook):
    """Write the metrics of a test to a file.

    Args:
        path (str): A .json, .yml, .yaml or .pkl file; its folder is created if missing.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        """Write ``metrics`` once, from the main process."""
        if not is_main_process():
            return
        mmengine.dump(metrics, self.path, backend_args=ATOMIC)
