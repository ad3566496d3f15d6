"""Registering this project's networks with ``MMagicInferencer``."""

import os
from pathlib import Path

import mmagic.apis.mmagic_inferencer as mmagic_inferencer
import yaml
from mmagic.apis import MMagicInferencer
from mmagic.apis.inferencers import Inferencers
from mmagic.registry import MODELS
from mmengine import Config

from ..utils import config_root
from .inferencer import VSRDBInferencer


class ModelAwareInferencers(Inferencers):
    """MMagic's choice of an inferencer by task, and this project's by config.

    MMagic has one inferencer for every model of the task 'Video Super-Resolution'. A
    config whose model is one of this project's or derives from one, or that names a
    ``restorer``, gets a :class:`VSRDBInferencer` instead, whatever the task. All other
    models get MMagic's.

    Args:
        task (str, optional): MMagic's name of the task.
        config (str | Config, optional): Model config or the path to it.
        ckpt (str, optional): Path to the checkpoint.
        device (str, optional): By default a GPU if there is one.
        extra_parameters (dict, optional): Of the chosen inferencer.
        seed (int): Random seed.
    """

    def __init__(
        self,
        task: str | None = None,
        config: str | Config | None = None,
        ckpt: str | None = None,
        device: str | None = None,
        extra_parameters: dict | None = None,
        seed: int = 2022,
    ) -> None:
        if _is_own(config):
            self.task = task
            self.inferencer = VSRDBInferencer(
                config, ckpt, device, extra_parameters, seed
            )
        else:
            super().__init__(task, config, ckpt, device, extra_parameters, seed)


def register_inferencer() -> None:
    """Let ``MMagicInferencer`` find the models of ``configs/metafile.yml`` by name.

    MMagic 1.2 has no registry of inferencers: it reads the names of models from its own
    configs and chooses the inferencer in a chain of ifs. So its table of names gets an
    entry for each collection, and :class:`ModelAwareInferencers` replaces the chain in
    the memory of this process; no installed file is changed.
    """
    # Reads MMagic's own names, and would look for ours among its configs.
    MMagicInferencer.init_inference_supported_models_cfg()
    metafile = yaml.safe_load((config_root() / 'metafile.yml').read_text())
    for collection in metafile['Collections']:
        name = collection['Metadata']['Inferencer']
        settings = [
            _located(setting)
            for setting in metafile['Models']
            if setting['In Collection'] == collection['Name']
        ]
        if name not in MMagicInferencer.inference_supported_models:
            MMagicInferencer.inference_supported_models.append(name)
        MMagicInferencer.inference_supported_models_cfg[name] = dict(
            task=settings[0]['Results'][0]['Task'], settings=settings
        )
    mmagic_inferencer.Inferencers = ModelAwareInferencers


def _located(setting: dict) -> dict:
    """A model of the metafile with paths as MMagic looks for them."""
    located = setting | dict(Config=_as_mmagic_finds_it(setting['Config']))
    if 'Weights' in setting:
        weights = config_root() / Path(setting['Weights']).relative_to('configs')
        located['Weights'] = str(weights)
    return located


def _as_mmagic_finds_it(config: str) -> str:
    """Path of a config of ours, from the folder that MMagic looks for its own in.

    MMagic drops whatever precedes 'configs' in a path, so an absolute one does not
    survive.
    """
    package = Path(mmagic_inferencer.__file__).parents[1]
    roots = (package.parent / 'configs', package / '.mim' / 'configs')
    root = next(root for root in roots if root.is_dir())
    target = config_root() / Path(config).relative_to('configs')
    return os.path.join('configs', os.path.relpath(target, root.resolve()))


def _is_own(config: str | Config | None) -> bool:
    if isinstance(config, str | os.PathLike) and Path(config).is_file():
        config = Config.fromfile(config)
    if not isinstance(config, dict | Config):
        return False
    model = config.get('model', {}).get('type')
    model = MODELS.get(model) if isinstance(model, str) else model
    bases = model.__mro__ if isinstance(model, type) else ()
    is_own = any(base.__module__.startswith('fmanet_mm.models.') for base in bases)
    return is_own or 'restorer' in config
