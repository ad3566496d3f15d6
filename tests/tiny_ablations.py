"""The models of the ablation configs in small nets."""

import math
from pathlib import Path

import torch
from mmagic.registry import MODELS
from mmagic.structures import DataSample
from mmengine import Config

FOLDER = Path(__file__).resolve().parents[1] / 'configs/ablations'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
STREAMED = (
    'filter_conventional_kd10_stage2',
    'component_n1_stage2',
    'component_dcn_stage2',
    'component_self_attention_sft_stage2',
    'window_t5_stage2',
)
TINY = dict(
    num_attention_blocks=1,
    num_heads=2,
    num_rdbs=1,
    growth_channels=4,
    num_dense_layers=1,
)


def build_tiny(name):
    """The model of a config with what it is about, in small nets."""
    config = Config.fromfile(FOLDER / f'{name}.py').model
    sizes = config.architecture
    num_flows = sizes.num_flows if sizes.num_frames == 3 else 3
    sizes.update(
        TINY,
        num_flows=num_flows,
        num_blocks=min(sizes.num_blocks, 2),
        channels=2 * math.lcm(sizes.num_frames, num_flows),
    )
    if config.type == 'FMANet':
        config.net_d.init_cfg = None
    return MODELS.build(config)


def batch(model, height=8, width=12):
    t, s = model.num_frames, model.scale
    targets = DataSample()
    targets.set_tensor_data(
        dict(
            gt_img=torch.rand(1, t, 3, s * height, s * width),
            img_sharp=torch.rand(1, t, 3, height, width),
            flow=torch.rand(1, t, 2, height, width),
        )
    )
    return torch.rand(1, t, 3, height, width), targets
