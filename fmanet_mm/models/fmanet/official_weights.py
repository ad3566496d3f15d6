"""The authors' released weights: their names and colour order, turned into ours."""

from collections.abc import Mapping
from os import PathLike

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checkpoint import load_released_weights, save_checkpoint_file
from ...utils.weights import rename_weight

OWNER = "the authors'"
"""Whose files are converted, as messages name them."""

_RULES = {
    r'^feature_extractor\.0\.': 'extractor.conv_first.',
    r'^feature_extractor\.2\.conv\.0\.': 'extractor.fusion.',
    r'^feature_extractor\.2\.conv\.1\.': 'extractor.conv_last.',
    r'^feature_extractor\.2\.RDBs\.': 'extractor.blocks.',
    r'^FRMA_blocks\.': 'blocks.',
    r'\.rdb\.': '.feature_rdb.',
    r'\.rdb_KD\.': '.kernel_rdb.',
    r'\.layer\.(\d+)\.conv\.': r'.layers.\1.',
    r'^(extractor\.blocks\.\d+|blocks\.\d+\.\w+_rdb)\.conv\.': r'\1.fusion.',
    r'\.conv_Fw\.': '.warped_fusion.',
    r'\.conv_KD\.': '.kernel_fusion.',
    r'\.conv_f\.0\.': '.flow_update.conv_in.',
    r'\.conv_f\.2\.': '.flow_update.conv_out.',
    r'\.multi_attn_block\.(\d+)\.': r'.attention_blocks.\1.halves.',
    r'\.(norm1|co_attn|norm2|ffn1)\.': r'.centre.\1.',
    r'\.(norm3|da_attn|norm4|ffn2)\.': r'.degradation.\1.',
    r'\.norm[13]\.body\.': '.attention_norm.',
    r'\.norm[24]\.body\.': '.ffn_norm.',
    r'\.(co|da)_attn\.': '.attention.',
    r'\.ffn[12]\.': '.ffn.',
    r'\.q\.': '.query.',
    r'\.q_dwconv\.': '.query_depthwise.',
    r'\.kv_conv\.': '.key_value.',
    r'\.kv_dwconv\.': '.key_value_depthwise.',
    r'\.dwconv\.': '.depthwise.',
    r'^a_conv\.': 'anchor_head.',
}
_NET_D_RULES = _RULES | {
    r'^d_conv\.': 'kernel_head.',
    r'^f_conv\.': 'flow_head.',
}
_NET_R_RULES = _RULES | {
    r'^d_conv\.0\.': 'kernel_embedding.conv_in.',
    r'^d_conv\.2\.': 'kernel_embedding.conv_out.',
    r'^f_conv1\.': 'flow_embedding.',
    r'^f_conv2\.': 'first_flow_head.',
    r'^f_conv3\.': 'second_flow_head.',
    r'^r_conv\.': 'kernel_head.',
    r'^res_conv1\.': 'high_frequency_head.conv_first.',
    r'^res_conv2\.': 'high_frequency_head.conv_last.',
    r'^upsample\.conv1\.': 'high_frequency_head.upsample_convs.0.',
    r'^upsample\.conv2\.': 'high_frequency_head.upsample_convs.1.',
    r'^upsample\.conv3\.': 'high_frequency_head.conv_hr.',
}


def convert_net_d(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' NetD parameters.

    Args:
        weights (Mapping[str, Tensor]): The authors' ``model_D_state_dict``.

    Returns:
        dict[str, Tensor]: A state dict for :class:`NetD`. Names that no rule knows
        stay as they are, so that strict loading refuses them.
    """
    return {
        rename_weight(name, _NET_D_RULES): _as_2d(weight)
        for name, weight in weights.items()
    }


def convert_net_r(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' NetR parameters, ``model_R_state_dict``.

    See :func:`convert_net_d`.
    """
    return {
        rename_weight(name, _NET_R_RULES): _as_2d(weight)
        for name, weight in weights.items()
    }


def reverse_colours(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn BGR weights into RGB weights, or back.

    Reverses the colour channels of every weight that reads or writes an image. The
    new network gives exactly the flipped output for the flipped input.

    Args:
        state_dict (Mapping[str, Tensor]): Of :class:`FMANet`, ``net_d.*`` and
            possibly ``net_r.*``.

    Returns:
        dict[str, Tensor]: A new state dict; the given one is left alone.
    """
    reversed_dict = dict(state_dict)
    for name, dim, start in _image_channels(state_dict):
        weight = reversed_dict[name]
        order = torch.arange(weight.size(dim))
        order[start : start + 3] = order[start : start + 3].flip(0)
        reversed_dict[name] = weight.index_select(dim, order)
    return reversed_dict


def _image_channels(state_dict: Mapping[str, Tensor]):
    """Yield (parameter, dimension, first channel) of every image read or written."""
    yield 'net_d.extractor.conv_first.weight', 1, 0
    yield 'net_d.anchor_head.2.weight', 0, 0
    if 'net_r.second_flow_head.0.weight' in state_dict:
        flow_channels = state_dict['net_r.second_flow_head.0.weight'].size(0)
        yield 'net_r.extractor.conv_first.weight', 1, 0
        yield 'net_r.anchor_head.2.weight', 0, 0
        yield 'net_r.high_frequency_head.conv_last.weight', 0, 0
        yield 'net_r.second_flow_head.0.weight', 1, flow_channels
        yield 'net_r.second_flow_head.0.weight', 1, flow_channels + 3


def _as_2d(weight: Tensor) -> Tensor:
    """Drop the frame dimension of a 1x3x3 or 1x1x1 convolution."""
    is_per_frame = weight.dim() == 5 and weight.size(2) == 1
    return weight.squeeze(2) if is_per_frame else weight


def convert_files(
    config: str | PathLike,
    net_d_file: str | PathLike,
    net_r_file: str | PathLike | None,
    out: str | PathLike,
    channel_order: str = 'rgb',
) -> None:
    """Turn the authors' files into a checkpoint; see ``convert_official.py``.

    Args:
        config (str | PathLike): Config whose model the weights must fit exactly.
        net_d_file (str | PathLike): The authors' file with ``model_D_state_dict``.
        net_r_file (str | PathLike, optional): With ``model_R_state_dict``.
        out (str | PathLike): Checkpoint to write.
        channel_order (str): What the converted network reads and writes: 'rgb', or
            'bgr' as the authors' does.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is not one of the authors', or a parameter is missing,
            left over or of another shape.
    """
    weights = load_released_weights(net_d_file, 'model_D_state_dict', OWNER)
    state_dict = _prefixed('net_d.', convert_net_d(weights))
    if net_r_file:
        weights = load_released_weights(net_r_file, 'model_R_state_dict', OWNER)
        state_dict |= _prefixed('net_r.', convert_net_r(weights))
    model = MODELS.build(Config.fromfile(config).model)
    try:
        model.load_state_dict(state_dict)
    except ValueError as error:
        files = ' and '.join(str(file) for file in (net_d_file, net_r_file) if file)
        raise ValueError(f'{files} with {config}: {error}') from error
    if channel_order == 'rgb':
        state_dict = reverse_colours(state_dict)
    save_checkpoint_file(
        dict(state_dict=state_dict, meta=dict(channel_order=channel_order)), out
    )


def _prefixed(prefix: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: weight for name, weight in state_dict.items()}
