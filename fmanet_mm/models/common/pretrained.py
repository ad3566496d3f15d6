"""Initialisation from a checkpoint that must fit."""

from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ...utils.checkpoint import load_state_dict_file


@WEIGHT_INITIALIZERS.register_module(name='StrictPretrained')
class StrictPretrainedInit(PretrainedInit):
    """Initialise a module from a part of a checkpoint; every key must fit.

    Stage 2 starts from stage 1's NetD with it. MMEngine's ``Pretrained`` only
    warns of missing keys.

    Args:
        checkpoint (str): Checkpoint file.
        prefix (str): Prefix of the module's keys in the checkpoint, like 'net_d.'.
        map_location (str): Device to load to.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a key is missing, left over or of another shape.
    """

    def __call__(self, module: nn.Module) -> None:
        """Load the weights into ``module``."""
        try:
            state_dict = load_state_dict_file(
                self.checkpoint, self.map_location, self._needed(module)
            )
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f'there is no checkpoint {self.checkpoint} to start from; train the '
                'stage before, or name its checkpoint (tools/train.py --stage1)'
            ) from error
        prefix = self.prefix or ''
        own = {
            name.removeprefix(prefix): value
            for name, value in state_dict.items()
            if name.startswith(prefix)
        }
        try:
            module.load_state_dict(own, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f'{self.checkpoint} does not fit {type(module).__name__} '
                f'(keys under {prefix!r}): {error}'
            ) from error
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _needed(self, module: nn.Module) -> list[str]:
        return [f'{self.prefix or ""}{name}' for name in module.state_dict()]
