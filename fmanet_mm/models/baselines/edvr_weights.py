"""BasicSR's released weights of EDVR with pre-deblurring, under our names."""

from collections.abc import Mapping
from os import PathLike

import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import Tensor

from ...utils.checkpoint import (
    describe_misfit,
    load_released_weights,
    save_checkpoint_file,
)
from ...utils.weights import rename_weight

KEY = 'params'
"""What BasicSR's files hold the weights under."""

_RULES = {
    r'\.conv1\.(\w+)$': r'.conv_in.\1',
    r'\.conv2\.(\w+)$': r'.conv_out.\1',
    r'^predeblur\.stride_conv_l2\.': 'predeblur.to_half.',
    r'^predeblur\.stride_conv_l3\.': 'predeblur.to_quarter.',
    r'^predeblur\.resblock_l3\.': 'predeblur.quarter_block.0.',
    r'^predeblur\.resblock_l2_1\.': 'predeblur.half_blocks.0.',
    r'^predeblur\.resblock_l2_2\.': 'predeblur.half_blocks.1.',
    r'^predeblur\.resblock_l1\.': 'predeblur.full_blocks.',
    r'^conv_1x1\.': 'predeblur.project.',
    r'^feature_extraction\.': 'extraction.',
    r'^conv_l2_1\.': 'halvings.0.0.',
    r'^conv_l2_2\.': 'halvings.0.1.',
    r'^conv_l3_1\.': 'halvings.1.0.',
    r'^conv_l3_2\.': 'halvings.1.1.',
    r'^pcd_align\.offset_conv1\.l(\d)\.': r'alignment.l\1.reading.',
    # The coarsest size has nothing to merge, so its second convolution is the last.
    r'^pcd_align\.offset_conv2\.l3\.': 'alignment.l3.guiding.',
    r'^pcd_align\.offset_conv2\.l(\d)\.': r'alignment.l\1.guide_merging.',
    r'^pcd_align\.offset_conv3\.l(\d)\.': r'alignment.l\1.guiding.',
    r'^pcd_align\.dcn_pack\.l(\d)\.': r'alignment.l\1.deform.',
    r'^pcd_align\.feat_conv\.l(\d)\.': r'alignment.l\1.feature_merging.',
    r'^pcd_align\.cas_offset_conv1\.': 'alignment.cascade_reading.',
    r'^pcd_align\.cas_offset_conv2\.': 'alignment.cascade_guiding.',
    r'^pcd_align\.cas_dcnpack\.': 'alignment.cascade_deform.',
    r'^alignment\.l1\.': 'alignment.levels.0.',
    r'^alignment\.l2\.': 'alignment.levels.1.',
    r'^alignment\.l3\.': 'alignment.levels.2.',
    r'\.conv_offset\.': '.offset.',
    r'^fusion\.temporal_attn1\.': 'fusion.centre_embedding.',
    r'^fusion\.temporal_attn2\.': 'fusion.frame_embedding.',
    r'^fusion\.feat_fusion\.': 'fusion.feature_fusion.',
    r'^fusion\.spatial_attn1\.': 'fusion.attention_fusion.',
    r'^fusion\.spatial_attn2\.': 'fusion.half_in.',
    r'^fusion\.spatial_attn3\.': 'fusion.half_out.',
    r'^fusion\.spatial_attn4\.': 'fusion.merging.',
    r'^fusion\.spatial_attn5\.': 'fusion.scale_out.',
    r'^fusion\.spatial_attn_l1\.': 'fusion.quarter_in.',
    r'^fusion\.spatial_attn_l2\.': 'fusion.quarter_pooled.',
    r'^fusion\.spatial_attn_l3\.': 'fusion.quarter_out.',
    r'^fusion\.spatial_attn_add1\.': 'fusion.shift_in.',
    r'^fusion\.spatial_attn_add2\.': 'fusion.shift_out.',
    r'^upconv1\.': 'doublings.0.',
    r'^upconv2\.': 'doublings.1.',
}


def convert_edvr(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename BasicSR's parameters.

    Args:
        weights (Mapping[str, Tensor]): BasicSR's ``params``.

    Returns:
        dict[str, Tensor]: A state dict for :class:`PredeblurEDVR`. Names that no rule
        knows stay as they are, so that strict loading refuses them.
    """
    return {rename_weight(name, _RULES): weight for name, weight in weights.items()}


def convert_file(
    config: str | PathLike, file: str | PathLike, out: str | PathLike
) -> None:
    """Turn BasicSR's file into a checkpoint; see ``convert_edvr.py``.

    Args:
        config (str | PathLike): Config whose generator the weights must fit exactly.
        file (str | PathLike): BasicSR's file.
        out (str | PathLike): Checkpoint to write.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the file is not one of BasicSR's, or a parameter is missing, left
            over or of another shape.
    """
    weights = convert_edvr(load_released_weights(file, KEY, "BasicSR's"))
    with torch.device('meta'):
        network = MODELS.build(Config.fromfile(config).model.generator)
    misfit = describe_misfit(network.state_dict(), weights)
    if misfit:
        raise ValueError(
            f'{file} does not fit {config}: {misfit}; convert '
            'EDVR_L_x4_SRblur_REDS_official, or name the config of its sizes'
        )
    state_dict = {f'generator.{name}': weight for name, weight in weights.items()}
    save_checkpoint_file(dict(state_dict=state_dict), out)
