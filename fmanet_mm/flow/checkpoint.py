"""Weights of flow networks, from a file or from the network."""

import os
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor

from ..utils.checkpoint import load_checkpoint_file


def load_checkpoint(checkpoint: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Load a checkpoint of plain tensors onto the CPU.

    Args:
        checkpoint (str | PathLike): A file, or an http(s) address. What an address
            holds is kept in torch's hub folder and downloaded once.

    Returns:
        tuple[dict[str, Tensor], dict]: The ``state_dict`` of the file, or the whole
        file if it has no such entry, and its ``meta``, empty if there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the download fails.
        ValueError: If the file is no checkpoint, or more than tensors is needed to
            read it.
    """
    if str(checkpoint).startswith(('http://', 'https://')):
        path = _download(checkpoint)
    else:
        path = Path(checkpoint)
    loaded = load_checkpoint_file(path)
    return loaded.get('state_dict', loaded), loaded.get('meta', {})


def _download(address: str) -> Path:
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(address).path).name)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(address, str(path))
        except (URLError, OSError) as error:
            raise RuntimeError(
                f'RAFT weights could not be downloaded from {address} ({error}). '
                f'Download the file by hand and put it at {path}, or give its path '
                "as the estimator's `checkpoint` (--raft-checkpoint on the command "
                'line). Without any weights, use DISFlowEstimator (--method dis).'
            ) from error
    return path
