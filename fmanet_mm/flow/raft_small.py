"""RAFT-small as an MMFlow model, equal to its reference implementation."""

from mmagic.registry import MODELS
from torch import nn


@MODELS.register_module()
class IdentityNorm(nn.Identity):
    """Placeholder where MMFlow needs a norm layer and RAFT-small has none."""

    _abbr_ = 'identity'


@MODELS.register_module()
class ReLUPlugin(nn.ReLU):
    """A ReLU that MMCV can build as a plugin.

    RAFT-small applies ReLU to the last convolution of a bottleneck before it adds the
    residual; MMFlow's ``Bottleneck`` does so only afterwards.

    Args:
        in_channels (int): Given by MMCV; not used.
    """

    _abbr_ = 'relu_plugin'

    def __init__(self, in_channels: int) -> None:
        super().__init__()


def _encoder(out_channels: int, norm: str) -> dict:
    return dict(
        type='RAFTEncoder',
        in_channels=3,
        out_channels=out_channels,
        net_type='Small',
        norm_cfg=dict(type=norm),
        plugins=[dict(cfg=dict(type='mmagic.ReLUPlugin'), position='after_conv3')],
    )


RAFT_SMALL = dict(
    type='RAFT',
    # The public weights were trained on RGB images.
    data_preprocessor=dict(
        type='FlowDataPreprocessor',
        mean=[127.5, 127.5, 127.5],
        std=[127.5, 127.5, 127.5],
        bgr_to_rgb=True,
    ),
    num_levels=4,
    radius=3,
    cxt_channels=64,
    h_channels=96,
    encoder=_encoder(128, norm='IN'),
    cxt_encoder=_encoder(160, norm='mmagic.IdentityNorm'),
    decoder=dict(
        type='RAFTDecoder',
        net_type='Small',
        num_levels=4,
        radius=3,
        iters=12,
        corr_op_cfg=dict(type='CorrLookup', align_corners=True),
        gru_type='Conv',
        feat_channels=128,
        act_cfg=dict(type='ReLU'),
    ),
)
