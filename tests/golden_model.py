"""Our models with the weights, and on the batches, of the authors' golden numbers."""

import golden
from mmagic.registry import MODELS
from mmagic.structures import DataSample

from fmanet_mm.models.fmanet.official_weights import convert_net_d, convert_net_r

WEIGHTS = dict(recon=1, hr_warp=0.1, flow=1e-4, ta_d=0.1)
STAGE_2_WEIGHTS = {name: 0.1 * weight for name, weight in WEIGHTS.items()} | dict(
    restoration=1, lr_warp=0.1, ta_r=0.1
)


def config(data, **changes):
    stage = data['config']['stage']
    weights = WEIGHTS if stage == 1 else STAGE_2_WEIGHTS
    nets = dict(net_d=golden.net_d_config(data) | changes)
    if stage == 2:
        nets['net_r'] = golden.net_r_config(data) | changes
    return dict(
        type='FMANet' if stage == 2 else 'FMANetStage1',
        **nets,
        losses={
            name: dict(type='L1Loss', loss_weight=weight)
            for name, weight in weights.items()
        },
        data_preprocessor=dict(
            type='VSRDBDataPreprocessor',
            mean=[0.0] * 3,
            std=[255.0] * 3,
            output_channel_order='RGB',
            data_keys=['gt_img', 'img_sharp'],
        ),
    )


def state_dict(data):
    state = {
        f'net_d.{name}': weight
        for name, weight in convert_net_d(golden.part(data, golden.NET_D)).items()
    }
    net_r = convert_net_r(golden.part(data, golden.NET_R))
    return state | {f'net_r.{name}': weight for name, weight in net_r.items()}


def build(data, with_cp=False, **overrides):
    model = MODELS.build(config(data, with_cp=with_cp) | overrides)
    model.load_state_dict(state_dict(data))
    return model


def batch(data):
    samples = DataSample(
        gt_img=golden.frames(data['y']),
        img_sharp=golden.frames(data['x_sharp']),
        flow=golden.frames(data['flow']),
    )
    return golden.frames(data['x']), samples
