"""From a config and a checkpoint to a clip restorer."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import MODELS
from mmengine.utils import import_modules_from_strings
from safetensors import safe_open
from torch import nn

from ..compat import explained_imports, prepare_openmmlab
from ..utils.checkpoint import load_checkpoint_file, select_weights
from ..utils.paths import find_config
from .adapters import RESTORERS, default_restorer
from .description import KEY, Description, register_networks, without_training
from .graphs import GRAPH_SUFFIXES, load_graph
from .protocol import ClipRestorer

AUTOCAST_DTYPES = dict(fp32=None, bf16=torch.bfloat16, fp16=torch.float16)
"""Types to compute in under autocast, by name."""

GENERATOR = 'generator'
"""The network within MMagic's models, in configs and in the names of weights."""


def load_restorer(
    checkpoint: str | PathLike | None,
    config: str | PathLike | Config | None = None,
    *,
    device: str | torch.device | None = None,
    dtype: str = 'fp32',
    memory_budget: float | None = None,
    trusted: bool = False,
) -> ClipRestorer:
    """Load a network and what applies it to clips.

    Args:
        checkpoint (str | PathLike, optional): A local file: a checkpoint, or a network
            that was exported to ``.safetensors``, ``.onnx`` or ``.pt2``. None for a
            network without weights, such as bicubic upsampling.
        config (str | PathLike | Config, optional): A loaded config, a file, or the name
            of one of the project's, such as ``'fmanet_stage2'``. None for a file that
            describes its network itself.
        device (str | torch.device, optional): By default a GPU if there is one.
        dtype (str): ``'fp32'``, ``'bf16'`` or ``'fp16'``; the latter two compute under
            autocast, ``'fp16'`` not on CPUs.
        memory_budget (float, optional): See :class:`StreamingRestorer`.
        trusted (bool): Whether the checkpoint may run code. Needed for ``.pt2``;
            nothing in the others is executed.

    Returns:
        ClipRestorer: On the device.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ImportError: If the network needs a package that is not installed.
        ValueError: If there is no checkpoint or it does not fit the config, if the
            network restores no video, or an argument is out of range.
    """
    device = find_device(device)
    autocast_dtype = _find_autocast_dtype(dtype, device)
    if checkpoint and Path(checkpoint).suffix in GRAPH_SUFFIXES:
        if dtype != 'fp32' or memory_budget is not None:
            raise ValueError(
                f'{checkpoint} is computed in fp32, on whole frames; for another '
                'dtype or a memory budget use a checkpoint or a .safetensors file'
            )
        return load_graph(checkpoint, device, trusted=trusted)
    network = load_network(checkpoint, config).to(device)
    return build_restorer(
        network, memory_budget=memory_budget, autocast_dtype=autocast_dtype
    )


def build_restorer(network: nn.Module, **settings: Any) -> ClipRestorer:
    """Apply a network to clips, as the config it was built from says.

    Args:
        network (nn.Module): With ``cfg``, see :func:`build_network`; without, it must
            be a :class:`WindowNetwork` or a :class:`LevelNetwork`.
        **settings: ``memory_budget`` and ``autocast_dtype``.

    Raises:
        ValueError: If the network restores no video.
    """
    config = getattr(network, 'cfg', None) or {}
    restorer = config.get('restorer', default_restorer(network))
    try:
        return RESTORERS.build(dict(network=network, **restorer, **settings))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f'restorer={dict(restorer)} cannot be built: {error}'
        ) from error


def load_network(
    checkpoint: str | PathLike | None, config: str | PathLike | Config | None = None
) -> nn.Module:
    """Build a network and load its weights.

    Args:
        checkpoint (str | PathLike, optional): A checkpoint or a ``.safetensors`` file;
            None for a network without weights.
        config (str | PathLike | Config, optional): See :func:`load_restorer`.

    Returns:
        nn.Module: On the CPU, in evaluation mode, in float32, without losses, with the
        config as ``cfg``.

    Raises:
        FileNotFoundError: If the config or the checkpoint is missing.
        ImportError: If the network needs a package that is not installed.
        ValueError: If there is no config and the checkpoint does not describe its
            network, the two do not fit, or the network has weights and there is no
            checkpoint.
    """
    config = load_config(config)
    if not checkpoint:
        return _load_without_weights(config)
    content = load_checkpoint_file(checkpoint)
    if config is None:
        config = read_description(checkpoint).config
    try:
        # Sizes that a file merely claims must not allocate anything.
        with torch.device('meta'):
            network = build_network(config)
        if GENERATOR in config.model:
            content = _of_generator(content)
        weights = select_weights(content, network.state_dict(), checkpoint)
        network.load_state_dict(weights, assign=True)
        if any(buffer.is_meta for buffer in network.buffers()):
            # Some buffers are in no checkpoint; their values come from the constructor.
            network = build_network(config)
            network.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f'{checkpoint}: {error}') from error
    return network.float().eval()


def load_config(config: str | PathLike | Config | None) -> Config | None:
    """Read a config that is not loaded yet; see :func:`load_restorer`.

    Raises:
        FileNotFoundError: If there is no such file and no such name.
    """
    if config is None or isinstance(config, Config):
        return config
    # Without its imports: most networks need none of OpenMMLab's packages.
    return Config.fromfile(find_config(config), import_custom_modules=False)


def build_network(config: Config) -> nn.Module:
    """Build the network of a config, with random weights and without losses.

    Args:
        config (Config): Its ``model`` is the network, or holds it as ``generator``.

    Returns:
        nn.Module: With the config as ``cfg``.

    Raises:
        ImportError: If it is one of MMagic's networks and MMagic is not installed.
        ValueError: If there is no such network.
    """
    register_networks()
    model = config.model.get(GENERATOR, config.model)
    registry = MODELS
    if registry.get(model['type']) is None:
        prepare_openmmlab()
        with explained_imports():
            if 'custom_imports' in config:
                import_modules_from_strings(**config.custom_imports)
            from mmagic.registry import MODELS as registry
    if registry.get(model['type']) is None:
        raise ValueError(
            f'there is no network {model["type"]!r}; check the name in the config, or '
            'import the module that registers it in custom_imports'
        )
    network = registry.build(without_training(model))
    network.cfg = config
    return network


def read_description(path: str | PathLike) -> Description:
    """Read what a ``.safetensors`` file says of its network.

    Raises:
        ValueError: If it says nothing, or nothing that is understood.
    """
    if Path(path).suffix != '.safetensors':
        raise ValueError(
            f'{path} does not describe its network; name its config, such as '
            'fmanet_stage2'
        )
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(KEY)
    return Description.from_json(text, path)


def find_device(device: str | torch.device | None) -> torch.device:
    """Choose a device, by default a GPU if there is one.

    Raises:
        ValueError: If there is no such device.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    try:
        device = torch.device(device or accelerator or 'cpu')
    except RuntimeError as error:
        raise ValueError(
            f"there is no device {device!r}; use 'cpu', 'cuda', 'cuda:1', 'mps', "
            "'xpu' ..."
        ) from error
    is_there = device.type == 'cpu' or (
        accelerator is not None and accelerator.type == device.type
    )
    if not is_there and device.type != 'meta':
        raise ValueError(
            f'there is no {device.type} device for {device}; use the device cpu'
        )
    return device


def _find_autocast_dtype(dtype: str, device: torch.device) -> torch.dtype | None:
    if dtype not in AUTOCAST_DTYPES:
        raise ValueError(f'dtype must be one of {list(AUTOCAST_DTYPES)}, got {dtype!r}')
    if dtype == 'fp16' and device.type == 'cpu':
        raise ValueError('fp16 needs a GPU; use bf16 or fp32 on the CPU')
    if dtype == 'bf16' and device.type == 'cuda' and not _computes_in_bf16():
        print_log(f'{device} does not compute in bf16; computing in fp16')
        dtype = 'fp16'
    return AUTOCAST_DTYPES[dtype]


def _computes_in_bf16() -> bool:
    """Whether the GPU has instructions for bfloat16; others only emulate it."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _load_without_weights(config: Config | None) -> nn.Module:
    network = None if config is None else build_network(config)
    if network is None or network.state_dict():
        raise ValueError(
            'no checkpoint was given, and random weights restore nothing; name a '
            'checkpoint'
        )
    return network.eval()


def _of_generator(content: dict[str, Any]) -> dict[str, Any]:
    """The generator's part of a checkpoint of one of MMagic's models."""
    prefix = f'{GENERATOR}.'
    own = {
        name.removeprefix(prefix): weight
        for name, weight in content.get('state_dict', content).items()
        if name.startswith(prefix)
    }
    return own or content
