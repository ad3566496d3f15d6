"""Numbers of the authors' model, and our nets with its weights.

`tests/data/golden/*.pt` were produced by the authors' released model in float32 on a
CPU. Their arrays are (N, C, T, H, W), ours (N, T, C, H, W).
"""

import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch

from fmanet_mm.models import NetD, NetR
from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r

FOLDER = Path(__file__).parent / 'data' / 'golden'
NET_D, NET_R = 'degradation_learning_network.', 'restoration_network.'


@cache
def load(name):
    golden = torch.load(FOLDER / f'{name}.pt', weights_only=True)
    weights = FOLDER / f'{name}_weights.pt'
    if weights.exists():
        golden['state_dict'] = torch.load(weights, weights_only=True)
    elif 'state_dict' not in golden:
        golden['state_dict'] = make_weights(golden['keys'])
    return golden


def make_weights(shapes):
    """The weights of the full-size network, too large to be kept in a file."""
    weights = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        seed = zlib.crc32(name.encode())
        a = np.random.RandomState(seed).standard_normal(shape)
        if name.endswith('temperature') or '.body.weight' in name:
            a = 1 + 0.1 * a
        elif name.endswith('bias'):
            a = 0.01 * a
        else:
            gain = 1.6 if 'f_conv' in name or 'conv_f' in name else 0.8
            a = gain * a / np.sqrt(np.prod(shape[1:]))
        weights[name] = torch.from_numpy(a.astype(np.float32))
    return weights


def part(golden, prefix):
    return {
        name.removeprefix(prefix): weight
        for name, weight in golden['state_dict'].items()
        if name.startswith(prefix)
    }


def architecture(golden):
    config = golden['config']
    return dict(
        channels=config['dim'],
        num_frames=config['num_seq'],
        scale=config['scale'],
        num_flows=config['num_flow'],
        num_blocks=config['num_FRMA'],
        num_attention_blocks=config['num_transformer_block'],
        num_heads=config['num_heads'],
        ffn_expansion=config['ffn_expansion_factor'],
        norm_with_bias=config['LayerNorm_type'] == 'WithBias',
        num_rdbs=config['num_RDB'],
        growth_channels=config['growth_rate'],
        num_dense_layers=config['num_dense_layer'],
    )


def net_d_config(golden):
    size = golden['config']['ds_kernel_size']
    return dict(kernel_size=size, **architecture(golden))


def net_r_config(golden):
    return dict(
        kernel_size=golden['config']['us_kernel_size'],
        degradation_kernel_size=golden['config']['ds_kernel_size'],
        **architecture(golden),
    )


def build_net_d(golden):
    net = NetD(**net_d_config(golden))
    net.load_state_dict(convert_net_d(part(golden, NET_D)))
    return net


def build_net_r(golden):
    net = NetR(**net_r_config(golden))
    net.load_state_dict(convert_net_r(part(golden, NET_R)))
    return net


def frames(array):
    """(N, C, T, H, W) <-> (N, T, C, H, W)."""
    return array.transpose(1, 2)
