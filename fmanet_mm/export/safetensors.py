"""Weights and the description of their network in one file that holds no code."""

from os import PathLike

import torch
from safetensors.torch import save_file
from torch import nn

from ..restoration.description import KEY, Description


def save_safetensors(
    network: nn.Module,
    description: Description,
    path: str | PathLike,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a network's weights and its description.

    Args:
        network (nn.Module): The network.
        description (Description): Of it.
        path (str | PathLike): ``.safetensors`` file to write.
        dtype (torch.dtype): Of the weights in the file; numbers of batches, which
            batch normalisation counts, stay integers.
    """
    weights = {
        name: value.detach()
        .to('cpu', dtype if value.is_floating_point() else value.dtype)
        .contiguous()
        for name, value in network.state_dict().items()
    }
    save_file(weights, path, {'format': 'pt', KEY: description.to_json()})
