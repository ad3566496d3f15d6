"""Princeton's RAFT weights in MMFlow's names."""

import re

import torch
from torch import Tensor

from ..utils.weights import check_weights
from .raft import build_raft

ARCHITECTURES = {
    'small': 'raft_small',
    'basic': 'raft/raft_8xb2_100k_mixed-368x768.py',
}
"""MMFlow configs of the two published architectures."""

_ENCODERS = [
    (r'^fnet\.', 'encoder.'),
    (r'^cnet\.', 'context.'),
    (r'\.layer(\d)\.', r'.res_layer\1.'),
    (r'\.norm(\d)\.', r'.bn\1.'),
]
_DECODER = {
    'encoder.convc1': 'encoder.corr_net.0.conv',
    'encoder.convc2': 'encoder.corr_net.1.conv',
    'encoder.convf1': 'encoder.flow_net.0.conv',
    'encoder.convf2': 'encoder.flow_net.1.conv',
    'encoder.conv': 'encoder.out_net.0.conv',
    'flow_head.conv1': 'flow_pred.layers.0.conv',
    'flow_head.conv2': 'flow_pred.predict_layer',
    'mask.0': 'mask_pred.layers.0.conv',
    'mask.2': 'mask_pred.predict_layer',
    **{
        f'gru.conv{gate}{number}': f'gru.conv_{gate}.{index}.conv'
        for gate in 'zrq'
        for number, index in (('', 0), ('1', 0), ('2', 1))
    },
}


def convert_raft(state_dict: dict[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Rename the weights of a Princeton RAFT to those of MMFlow's RAFT.

    The weights still expect RGB images.

    Args:
        state_dict (dict[str, Tensor]): Weights, with or without the prefix
            ``module.``.
        architecture (str): ``'small'`` or ``'basic'``.

    Returns:
        dict[str, Tensor]: Weights of ``build_raft(ARCHITECTURES[architecture])``.

    Raises:
        ValueError: If a weight is not a tensor, left over, missing, given twice with
            different values, or of another shape.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f'architecture must be one of {[*ARCHITECTURES]}, got {architecture!r}'
        )
    check_weights(state_dict, f'the file with the weights of RAFT {architecture}')
    converted = {}
    for name, value in state_dict.items():
        new_name = _rename(name.removeprefix('module.'), architecture)
        if new_name in converted and not torch.equal(converted[new_name], value):
            raise ValueError(
                f'there are two different weights for {new_name}, one is {name}'
            )
        converted[new_name] = value

    expected = {
        name: tuple(value.shape)
        for name, value in build_raft(ARCHITECTURES[architecture]).state_dict().items()
    }
    found = {name: tuple(value.shape) for name, value in converted.items()}
    if found != expected:
        wrong = {
            name: f'{found[name]} instead of {expected[name]}'
            for name in found.keys() & expected.keys()
            if found[name] != expected[name]
        }
        raise ValueError(
            f'these are not the weights of RAFT {architecture}; '
            f'left over: {sorted(found.keys() - expected.keys())}; '
            f'missing: {sorted(expected.keys() - found.keys())}; '
            f'of wrong shape: {wrong}'
        )
    return converted


def _rename(name: str, architecture: str) -> str:
    if name.startswith('update_block.'):
        layer, _, kind = name.removeprefix('update_block.').rpartition('.')
        return f'decoder.{_DECODER.get(layer, layer)}.{kind}'
    if architecture == 'basic':
        # A block with a shortcut lists the norm of the shortcut twice.
        name = re.sub(r'(layer\d\.\d)\.norm3\.', r'\1.downsample.1.', name)
    for pattern, replacement in _ENCODERS:
        name = re.sub(pattern, replacement, name)
    return name
