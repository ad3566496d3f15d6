# The demo's network, fine-tuned for footage as it is: synthetic scenes that are also
# out of focus, noisy, resized and compressed. Minutes on a CPU; tested on real clips.
_base_ = [
    '../fmanet_stage2_synthetic.py',
    '../_base_/models/fmanet_demo.py',
    '../_base_/datasets/real_clips.py',
    '../_base_/schedules/finetune.py',
]

load_from = '{{ fileDirname }}/fmanet_demo.safetensors'

model = dict(
    architecture=_base_.demo_architecture,
    net_d=_base_.demo_net_d,
    net_r=_base_.demo_net_r,
    losses=dict(flow=dict(loss_weight=0.1 * _base_.demo_flow_weight)),
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    dataset=dict(
        size=(48, 48),
        motion=(0.0, 6.0),
        # Scenes that the demo has not seen.
        seed=7,
        pipeline=[
            dict(type='RealisticDegradation'),
            dict(type='VSRDBRandomCrop', patch_size=32, scale=4),
            dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5),
            dict(type='VSRDBRandomTranspose', probability=0.5),
            dict(type='VSRDBRandomChannels'),
            _base_.synthetic_pack,
        ],
    ),
)
val_dataloader = dict(dataset=dict(motion=(0.0, 6.0), length=8))
test_dataloader = dict(dataset=_base_.real_clips)
train_cfg = dict(max_iters=120, val_interval=120)
param_scheduler = [
    _base_.finetune_warm_up,
    dict(_base_.param_scheduler, milestones=[84, 102, 114]),
]
optim_wrapper = _base_.finetune_optim_wrapper
default_hooks = _base_.finetune_hooks
