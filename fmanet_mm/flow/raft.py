"""RAFT from MMFlow."""

import copy
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from mmagic.registry import MODELS
from mmengine.config import Config
from torch import Tensor

from ..compat.mmflow import import_mmflow
from .base import FlowEstimator
from .checkpoint import load_checkpoint
from .raft_small import RAFT_SMALL


@MODELS.register_module()
class MMFlowEstimator(FlowEstimator):
    """RAFT from MMFlow.

    Frames of any size are padded with black on the right and at the bottom, to a
    multiple of 8 that is at least what the coarsest correlation level needs; the flow
    is cropped back.

    Args:
        config (str | dict): ``'raft_small'``, the name of a file in MMFlow's
            configs (``'raft/raft_8xb2_100k_mixed-368x768.py'``), the path of an
            MMFlow RAFT config, or the model's dict itself.
        checkpoint (str): File or http(s) address of weights that fit the config.
            Weights in Princeton's naming are converted first by
            ``tools/model_converters/convert_raft.py``.
        iters (int): Number of refinement steps.
        channel_order (str, optional): Colour order that the weights expect, ``'rgb'``
            or ``'bgr'``. By default that in the checkpoint's ``meta``, which converted
            weights have, else that of the config's preprocessor, which follows the BGR
            images of MMFlow: its own checkpoints were trained on BGR. The frames given
            to the estimator are always RGB.

    Raises:
        FileNotFoundError: If config or checkpoint do not exist.
        RuntimeError: If the checkpoint cannot be downloaded.
        ValueError: If the config is not a RAFT, the checkpoint does not fit it, or
            another argument is out of range.
    """

    def __init__(
        self,
        config: str | dict,
        checkpoint: str,
        iters: int = 12,
        channel_order: str | None = None,
    ) -> None:
        super().__init__()
        if iters < 1:
            raise ValueError(f'iters must be at least 1, got {iters}')
        if channel_order not in (None, 'rgb', 'bgr'):
            raise ValueError(
                f"channel_order must be 'rgb' or 'bgr', got {channel_order!r}"
            )
        self.net = build_raft(config)
        self.net.decoder.iters = iters
        meta = _load_strictly(self.net, checkpoint)
        trained_on = 'rgb' if self.net.data_preprocessor.channel_conversion else 'bgr'
        self.channel_order = channel_order or meta.get('channel_order', trained_on)
        self.requires_grad_(False)
        self.eval()

    def estimate(self, source: Tensor, target: Tensor) -> Tensor:
        """Estimate a batch at once; see :meth:`FlowEstimator.forward`."""
        height, width = source.shape[-2:]
        pair = torch.cat([self._preprocess(source), self._preprocess(target)], dim=1)
        flow = self.net(pair, mode='tensor')[-1]
        return flow[..., :height, :width].contiguous()

    def _preprocess(self, frames: Tensor) -> Tensor:
        """Convert RGB in [0, 1] to the colours the net was trained on, and pad."""
        height, width = frames.shape[-2:]
        smallest = 8 * 2 ** (self.net.num_levels - 1)
        padding = [max(-(-size // 8) * 8, smallest) - size for size in (width, height)]
        frames = F.pad(frames, (0, padding[0], 0, padding[1]))
        if self.channel_order == 'bgr':
            frames = frames.flip(1)
        preprocessor = self.net.data_preprocessor
        return (frames * 255 - preprocessor.mean) / preprocessor.std


def build_raft(config: str | dict) -> torch.nn.Module:
    """Build an MMFlow RAFT with untrained weights.

    Args:
        config (str | dict): See :class:`MMFlowEstimator`.

    Returns:
        nn.Module: ``mmflow.models.RAFT``.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If the config is that of another model.
    """
    mmflow = import_mmflow()
    model = _find_model_config(config, Path(mmflow.__file__).parent / '.mim/configs')
    if model.get('type') != 'RAFT' or 'mean' not in model.get('data_preprocessor', {}):
        raise ValueError(
            "config must hold an MMFlow model with type='RAFT' and a "
            f'data_preprocessor with mean and std, got {config}'
        )
    # MMFlow finds its own modules although 'mmagic' is the default scope.
    return MODELS.build({**model, '_scope_': 'mmflow'})


def _find_model_config(config: str | dict, mmflow_configs: Path) -> dict:
    if isinstance(config, dict):
        return copy.deepcopy(dict(config.get('model', config)))
    if config == 'raft_small':
        return copy.deepcopy(RAFT_SMALL)
    for path in (Path(config), mmflow_configs / config):
        if path.is_file():
            return Config.fromfile(path).model.to_dict()
    known = sorted(os.listdir(mmflow_configs / 'raft'))
    raise FileNotFoundError(
        f"RAFT config {config!r} is neither 'raft_small' nor a file, nor one of "
        f"MMFlow's: {['raft/' + name for name in known if name.endswith('.py')]}"
    )


def _load_strictly(net: torch.nn.Module, checkpoint: str) -> dict:
    """Load all weights and return the ``meta`` of the checkpoint."""
    state_dict, meta = load_checkpoint(checkpoint)
    if any('update_block.' in name for name in state_dict):
        raise ValueError(
            f'{checkpoint} has the names of the Princeton RAFT; convert it with '
            'tools/model_converters/convert_raft.py and give the new file'
        )
    try:
        net.load_state_dict(state_dict)
    except RuntimeError as error:
        raise ValueError(
            f'checkpoint {checkpoint} does not fit the RAFT config: {error}'
        ) from error
    return meta
