# Stage 2 of the network whose weights the project ships, tested on real clips.
_base_ = [
    '../fmanet_stage2_synthetic.py',
    '../_base_/models/fmanet_demo.py',
    '../_base_/datasets/demo_scenes.py',
    '../_base_/datasets/real_clips.py',
    '../_base_/schedules/demo.py',
]

stage1 = 'work_dirs/demo_stage1/iter_3441.pth'
model = dict(
    architecture=_base_.demo_architecture,
    net_d=dict(_base_.demo_net_d, init_cfg=dict(checkpoint=stage1)),
    net_r=_base_.demo_net_r,
    losses=dict(flow=dict(loss_weight=0.1 * _base_.demo_flow_weight)),
)
train_dataloader = dict(dataset=_base_.demo_scenes)
val_dataloader = dict(dataset=dict(motion=_base_.demo_motion))
test_dataloader = dict(dataset=_base_.real_clips)
train_cfg = dict(max_iters=3571, val_interval=500)
param_scheduler = [
    _base_.demo_warm_up,
    dict(_base_.param_scheduler, milestones=[2500, 3035, 3392]),
]
optim_wrapper = _base_.demo_optim_wrapper
default_hooks = dict(checkpoint=dict(interval=500))
