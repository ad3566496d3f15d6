"""The released weights of STFAN: their names and colour order, turned into ours."""

import re
from collections.abc import Mapping
from os import PathLike

import torch
from torch import Tensor

from ....utils.checkpoint import (
    describe_misfit,
    load_released_weights,
    save_checkpoint_file,
)
from ....utils.weights import rename_weight
from .stfan import STFAN

KEY = 'deblurnet_state_dict'
"""Name of the weights in the released file."""

_DECODER_LAYERS = (
    *('upconv2_u', 'upconv2_2', 'upconv2_1'),
    *('upconv1_u', 'upconv1_2', 'upconv1_1'),
)
"""In the order in which they are applied."""

_RULES = {
    r'^module\.': '',
    r'\.stem\.0\.': '.conv_in.',
    r'\.stem\.2\.': '.conv_out.',
    r'^fac_warp\.': 'alignment_filters.',
    r'^kconv4\.': 'filter_embedding.',
    r'^fac_deblur\.': 'deblurring_filters.',
    r'^fea\.': 'carry_embedding.',
    r'^img_prd\.': 'prediction.',
}
_ENCODERS = dict(kconv='filter_encoder', conv='image_encoder')


def convert_stfan(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the released weights and reverse their colours, which are BGR.

    Args:
        weights (Mapping[str, Tensor]): ``deblurnet_state_dict`` of the released file.

    Returns:
        dict[str, Tensor]: A state dict for :class:`STFAN` and :class:`STFANOnBicubic`.
        Names that no rule knows stay as they are, so that strict loading refuses them.
    """
    converted = {_rename(name): weight for name, weight in weights.items()}
    for name, dim in (
        ('filter_encoder.0.0.0.weight', 1),
        ('image_encoder.0.0.0.weight', 1),
        ('prediction.0.weight', 0),
        ('prediction.0.bias', 0),
    ):
        if name in converted:
            converted[name] = _reverse_colours(converted[name], dim)
    return converted


def convert_stfan_file(source: str | PathLike, out: str | PathLike) -> None:
    """Turn the released file into a checkpoint; see ``convert_stfan.py``.

    Args:
        source (str | PathLike): The released file.
        out (str | PathLike): Checkpoint to write.

    Raises:
        FileNotFoundError: If the file is missing.
        ValueError: If it is not the released one, or a weight is missing, left over or
            of another shape.
    """
    weights = convert_stfan(load_released_weights(source, KEY, "STFAN's released"))
    with torch.device('meta'):
        misfit = describe_misfit(STFAN().state_dict(), weights)
    if misfit:
        raise ValueError(f'{source} does not fit STFAN: {misfit}')
    state_dict = {f'generator.{name}': weight for name, weight in weights.items()}
    save_checkpoint_file(
        dict(state_dict=state_dict, meta=dict(channel_order='rgb')), out
    )


def _rename(name: str) -> str:
    name = rename_weight(name, _RULES)
    layer, dot, rest = name.partition('.')
    if layer in _DECODER_LAYERS:
        return f'decoder.{_DECODER_LAYERS.index(layer)}{dot}{rest}'
    if match := re.fullmatch(r'(k?conv)([123])_([123])', layer):
        encoder, level, place = match.groups()
        return f'{_ENCODERS[encoder]}.{int(level) - 1}.{int(place) - 1}{dot}{rest}'
    return name


def _reverse_colours(weight: Tensor, dim: int) -> Tensor:
    """Reverse each group of three channels in a dimension."""
    order = torch.arange(weight.size(dim)).view(-1, 3).flip(1).flatten()
    return weight.index_select(dim, order)
