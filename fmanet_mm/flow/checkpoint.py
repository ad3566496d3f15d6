"""Weights of flow networks, from a file or from the network."""

import os
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse

import torch
from torch import Tensor

from ..utils.checkpoint import load_checkpoint_file
from ..utils.files import atomic_write


def load_checkpoint(checkpoint: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Load a checkpoint of tensors onto the CPU; nothing in it is executed.

    Args:
        checkpoint (str | PathLike): A file, or an http(s) address, which is downloaded
            once and kept in torch's hub folder.

    Returns:
        tuple[dict[str, Tensor], dict]: The ``state_dict`` of the file, or its complete
        content if it has no such entry, and its ``meta``, empty if there is none.

    Raises:
        FileNotFoundError: If there is no such file.
        RuntimeError: If the download fails.
        ValueError: If the file is not a checkpoint, or holds more than tensors.
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
        try:
            with atomic_write(path) as draft:
                torch.hub.download_url_to_file(address, str(draft))
        except (URLError, OSError) as error:
            raise RuntimeError(
                f'RAFT weights could not be downloaded from {address} ({error}); '
                f'download the file by hand and put it at {path}, or give its path '
                "as the estimator's `checkpoint` (--raft-checkpoint on the command "
                'line); DISFlowEstimator (--method dis) needs no weights'
            ) from error
    return path
