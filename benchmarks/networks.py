"""The networks that are compared: the published form and the package's.

This is the only file here that knows which network is measured. The others take the
package's as a :class:`~fmanet_mm.restoration.WindowNetwork` that can also be trained:
called with ``mode='loss'`` it returns its losses by name.
"""

import torch
from plain import PlainFMANet
from torch import nn

from fmanet_mm.models import FMANet
from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r

NUM_FRAMES = 3
SCALE = 4

PUBLISHED = dict(
    in_channels=3,
    dim=90,
    num_seq=NUM_FRAMES,
    scale=SCALE,
    ds_kernel_size=20,
    us_kernel_size=5,
    num_RDB=12,
    growth_rate=18,
    num_dense_layer=4,
    num_flow=9,
    num_FRMA=4,
    num_transformer_block=2,
    num_heads=6,
    LayerNorm_type='WithBias',
    ffn_expansion_factor=2.66,
    bias=False,
)
"""Sizes of the published network, in the authors' names; the package's defaults."""

TINY = PUBLISHED | dict(
    ds_kernel_size=8, num_RDB=1, num_dense_layer=1, num_FRMA=2, num_transformer_block=1
)
"""Sizes of a network that shows in seconds whether everything works."""

LOSS_WEIGHTS = dict(
    restoration=1.0,
    lr_warp=0.1,
    ta_r=0.1,
    recon=0.1,
    hr_warp=0.01,
    flow=1e-5,
    ta_d=0.01,
)
"""Weights of the losses of stage 2, as published. Each is an L1 loss."""


def build_plain(tiny: bool, device: torch.device) -> PlainFMANet:
    """Build the published form with random weights, the same in every call.

    Args:
        tiny (bool): Whether to build the tiny network instead of the published one.
        device (torch.device): Device to build it on.
    """
    torch.manual_seed(0)
    with device:
        return PlainFMANet(stage=2, **(TINY if tiny else PUBLISHED))


def build_package(
    tiny: bool, device: torch.device, checkpointed: bool = False
) -> FMANet:
    """Build the package's network with the weights of :func:`build_plain`.

    Args:
        tiny (bool): Whether to build the tiny network instead of the published one.
        device (torch.device): Device to build it on.
        checkpointed (bool): Whether to train with activation checkpointing.
    """
    sizes = TINY if tiny else PUBLISHED
    plain = build_plain(tiny, device)
    architecture = dict(
        num_blocks=sizes['num_FRMA'],
        num_attention_blocks=sizes['num_transformer_block'],
        num_rdbs=sizes['num_RDB'],
        num_dense_layers=sizes['num_dense_layer'],
        degradation_kernel_size=sizes['ds_kernel_size'],
        with_cp=checkpointed,
    )
    losses = {name: dict(type=nn.L1Loss) for name in LOSS_WEIGHTS}
    with device:
        model = FMANet(architecture, losses=losses)
    for net, convert, part in (
        (model.net_d, convert_net_d, plain.degradation_learning_network),
        (model.net_r, convert_net_r, plain.restoration_network),
    ):
        net.load_state_dict(convert(part.state_dict()))
    return model
