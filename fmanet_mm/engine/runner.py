"""MMEngine's runner with safe checkpoints and robust data loaders."""

import re
from pathlib import Path

from mmagic.registry import RUNNERS
from mmengine.dist import all_gather_object
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner, load_state_dict
from torch.utils.data import DataLoader

from ..utils.wrappers import unwrap_model
from .checkpointing import RESUMABLE, read_checkpoint
from .optim_wrapper import keep_step_settings, with_fused_step

WORKER_TIMEOUT = 600
"""Default number of seconds that loader workers may take for a batch."""

WORKER_SETTINGS = (
    'persistent_workers',
    'prefetch_factor',
    'timeout',
    'multiprocessing_context',
)
"""Settings that PyTorch refuses for a loader without workers."""


@RUNNERS.register_module()
class SafeRunner(Runner):
    """MMEngine's runner for checkpoints from any source.

    Nothing in a checkpoint is executed, neither pickled code nor the text of its
    config. A resumed run needs only its own checkpoint: weights that would be replaced
    at once are not initialised.

    Attributes:
        trust_checkpoint (bool): Let checkpoints execute the code they are pickled
            with, as MMEngine does. Set before training or testing starts.
    """

    trust_checkpoint = False

    @staticmethod
    def build_dataloader(
        dataloader: DataLoader | dict,
        seed: int | None = None,
        diff_rank_seed: bool = False,
    ) -> DataLoader:
        """Build a loader whose hanging workers end the run.

        Without workers, as with ``num_workers=0`` on the command line, the settings of
        workers are ignored.

        Args:
            dataloader (DataLoader | dict): A loader, or the config of one; with
                workers, its ``timeout`` is 600 s unless set.
            seed (int, optional): See MMEngine's ``Runner``.
            diff_rank_seed (bool): See MMEngine's ``Runner``.
        """
        if isinstance(dataloader, dict):
            dataloader = _fit_to_workers(dataloader)
        return Runner.build_dataloader(dataloader, seed, diff_rank_seed)

    def build_optim_wrapper(self, optim_wrapper):
        """Build an optimizer wrapper; see :func:`with_fused_step`.

        Args:
            optim_wrapper (OptimWrapper | dict): A wrapper, or the config of one.
        """
        if isinstance(optim_wrapper, dict):
            device = next(self.model.parameters()).device
            optim_wrapper = with_fused_step(optim_wrapper, device)
        return super().build_optim_wrapper(optim_wrapper)

    def load_checkpoint(
        self,
        filename: str,
        map_location: str = 'cpu',
        strict: bool = False,
        revise_keys: list = [(r'^module\.', '')],  # noqa: B006
    ) -> dict:
        """Load weights into the model.

        Args:
            filename (str): See :func:`read_checkpoint`.
            map_location (str): Device to load to.
            strict (bool): Refuse weights that do not fit.
            revise_keys (list): Pairs of a pattern and its replacement in the names.

        Returns:
            dict: The checkpoint.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is damaged, cannot be read safely, or holds only
                weights while a run is to be resumed from it.
        """
        checkpoint = read_checkpoint(filename, map_location, self.trust_checkpoint)
        if self._resume:
            self._prepare_resuming(checkpoint, filename)
            if isinstance(self.optim_wrapper, OptimWrapper):
                keep_step_settings(
                    checkpoint['optimizer'], self.optim_wrapper.optimizer
                )
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        weights = checkpoint['state_dict']
        for pattern, replacement in revise_keys:
            weights = {
                re.sub(pattern, replacement, key): value
                for key, value in weights.items()
            }
        load_state_dict(unwrap_model(self.model), weights, strict, self.logger)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {filename}')
        return checkpoint

    @staticmethod
    def _prepare_resuming(checkpoint: dict, filename: str) -> None:
        missing = [key for key in RESUMABLE if key not in checkpoint]
        if missing:
            raise ValueError(
                f'a run cannot be resumed from {filename}, which holds no '
                f'{", ".join(missing)}; to start from its weights, give '
                f'--from {filename}'
            )
        # MMEngine would execute this text to look up the number of GPUs.
        checkpoint['meta'].pop('config', None)

    def _init_model_weights(self) -> None:
        self._check_same_checkpoint()
        if not (self._resume and self._load_from):
            super()._init_model_weights()

    def _check_same_checkpoint(self) -> None:
        """Refuse to start when only some processes have found a checkpoint."""
        own = Path(self._load_from).name if self._resume and self._load_from else None
        found = dict.fromkeys(all_gather_object(own))
        if len(found) > 1:
            raise ValueError(
                'the processes would resume from different checkpoints: '
                f'{", ".join(str(name or "none") for name in found)}; let all machines '
                f'share {self.work_dir}, or name a checkpoint that all of them have: '
                '--resume CHECKPOINT'
            )


def _fit_to_workers(dataloader: dict) -> dict:
    if dataloader.get('num_workers'):
        return {'timeout': WORKER_TIMEOUT, **dataloader}
    return {
        key: value for key, value in dataloader.items() if key not in WORKER_SETTINGS
    }
