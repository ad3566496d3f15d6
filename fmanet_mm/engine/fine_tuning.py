"""Starting a training from the weights of a trained network."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from safetensors import safe_open

from ..models.fmanet.fmanet import FMANetStage1
from ..restoration.description import KEY, Description
from ..utils.wrappers import unwrap_model

NETWORK_KEYS = ('architecture', 'net_d', 'net_r')
"""Settings of a model that its weights depend on."""


def adopt_network(cfg: Config, checkpoint: str) -> None:
    """Take the network's sizes and filters from the file of its weights.

    Exported ``.safetensors`` files describe their network. Where ``checkpoint`` is one
    of FMA-Net and the config trains or tests FMA-Net, the description replaces the
    architecture of the config. Otherwise the config stays as it is.

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
    stages = ('FMANetStage1', 'FMANet')
    if network['type'] not in stages or cfg.model.get('type') not in stages:
        return
    for key in NETWORK_KEYS:
        cfg.model.pop(key, None)
        if key in network and (key != 'net_r' or cfg.model.type == 'FMANet'):
            cfg.model[key] = network[key]
    print_log(f'The network is built as {checkpoint} describes it', 'current')


class FineTuneHook(Hook):
    """Start FMA-Net from a trained network, whatever its stage.

    Stage 1 starts from NetD's weights alone, even if the file holds NetR's too.

    Args:
        keep_net_d (bool): Whether NetD keeps the weights it is initialised with, those
            of another stage 1.
    """

    def __init__(self, keep_net_d: bool = False) -> None:
        self.keep_net_d = keep_net_d

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Choose the weights to load."""
        model = unwrap_model(runner.model)
        if not isinstance(model, FMANetStage1):
            return
        own = model.state_dict()
        weights = checkpoint['state_dict']
        if not any(_is_of('net_r', name) for name in own):
            weights = {n: w for n, w in weights.items() if not _is_of('net_r', n)}
        if self.keep_net_d:
            weights = {n: w for n, w in weights.items() if not _is_of('net_d', n)}
            weights |= {
                name: weight.detach().to('cpu', torch.float32)
                for name, weight in own.items()
                if _is_of('net_d', name)
            }
        checkpoint['state_dict'] = weights


def _is_of(net: str, name: str) -> bool:
    return name.removeprefix('module.').startswith(f'{net}.')
