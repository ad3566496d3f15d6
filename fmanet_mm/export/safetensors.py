"""Weights and the settings of their networks in one file that holds no code."""

from os import PathLike

import torch
from mmengine.registry import MODELS
from safetensors import safe_open
from safetensors.torch import save_file

from ..models import FMANet
from ..utils.checkpoint import load_state_dict_file
from .description import KEY, Description


def save_safetensors(
    model: FMANet,
    description: Description,
    path: str | PathLike,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a model's weights and its description.

    Args:
        model (FMANet): A model of stage 2.
        description (Description): Of it.
        path (str | PathLike): ``.safetensors`` file to write.
        dtype (torch.dtype): Of the weights in the file.
    """
    weights = {
        name: value.detach().to('cpu', dtype).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, path, {'format': 'pt', KEY: description.to_json()})


def load_safetensors_model(
    path: str | PathLike, device: str | torch.device = 'cpu'
) -> FMANet:
    """Build the network that a file describes, with its weights.

    Args:
        path (str | PathLike): What :func:`save_safetensors` wrote.
        device (str | torch.device): Where to put it.

    Returns:
        FMANet: Of stage 2, in evaluation mode, without losses.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or its weights and description do not fit.
    """
    weights = load_state_dict_file(path)
    with safe_open(path, 'pt') as file:
        text = (file.metadata() or {}).get(KEY)
    description = Description.from_json(text, path)
    try:
        # Nothing is allocated for sizes that only the description claims.
        with torch.device('meta'):
            model = MODELS.build(description.config.model)
        model.load_state_dict(weights, assign=True)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{path}: {error}') from error
    model.cfg = description.config
    return model.float().to(device).eval()
