"""Starting a training from the weights of a trained network."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from safetensors import safe_open
from torch import Tensor

from ..models.common.base_model import VSRDBModel
from ..restoration.description import KEY, Description
from ..utils.wrappers import unwrap_model

NETWORK_KEYS = ('architecture', 'exposure', 'net_d', 'net_r')
"""Settings of a model that its weights depend on."""

STAGES = (('FMANetStage1', 'FMANet'), ('FMANetPPStage1', 'FMANetPP'))
"""Models of stages 1 and 2, by family."""

_TRAINED_BEFORE = ('exposure_net', 'net_d')


def adopt_network(cfg: Config, checkpoint: str) -> None:
    """Take the network's sizes and filters from the file of its weights.

    Exported ``.safetensors`` files describe their network. Where ``checkpoint`` is one
    of FMA-Net or FMA-Net++ and the config trains or tests the same, the description
    replaces the architecture of the config. Otherwise the config stays as it is.

    Args:
        cfg (Config): Changed in place.
        checkpoint (str): File of weights.

    Raises:
        ValueError: If the description is not understood.
    """
    if not (Path(checkpoint).suffix == '.safetensors' and Path(checkpoint).is_file()):
        return
    with safe_open(checkpoint, 'pt') as file:
        text = (file.metadata() or {}).get(KEY)
    if not text:
        return
    network = Description.from_json(text, checkpoint).network
    family = [stages for stages in STAGES if network['type'] in stages]
    if not family or cfg.model.get('type') not in family[0]:
        return
    for key in NETWORK_KEYS:
        cfg.model.pop(key, None)
        if key in network and (key != 'net_r' or cfg.model.type == family[0][1]):
            cfg.model[key] = network[key]
    print_log(f'The network is built as {checkpoint} describes it', 'current')


class FineTuneHook(Hook):
    """Start a network from trained weights, whatever their stage.

    Stage 1 starts from NetD's weights alone, even if the file holds NetR's too.

    Args:
        keep_net_d (bool): Whether NetD keeps the weights it is initialised with, those
            of another stage 1, and FMA-Net++ the exposure extractor of that stage.
    """

    def __init__(self, keep_net_d: bool = False) -> None:
        self.keep_net_d = keep_net_d

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Choose the weights to load."""
        model = unwrap_model(runner.model)
        if not isinstance(model, VSRDBModel):
            return
        own = model.state_dict()
        weights = checkpoint['state_dict']
        if not any(_is_of('net_r', name) for name in own):
            weights = {n: w for n, w in weights.items() if not _is_of('net_r', n)}
        if self.keep_net_d:
            weights = {n: w for n, w in weights.items() if not _was_trained_before(n)}
            weights |= {
                name: _to_cpu(weight)
                for name, weight in own.items()
                if _was_trained_before(name)
            }
        checkpoint['state_dict'] = weights


def _to_cpu(weight: Tensor) -> Tensor:
    dtype = torch.float32 if weight.is_floating_point() else weight.dtype
    return weight.detach().to('cpu', dtype)


def _was_trained_before(name: str) -> bool:
    return any(_is_of(net, name) for net in _TRAINED_BEFORE)


def _is_of(net: str, name: str) -> bool:
    return name.removeprefix('module.').startswith(f'{net}.')
