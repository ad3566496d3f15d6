# Stage 1 of the network whose weights the project ships, trained on synthetic scenes.
_base_ = [
    '../fmanet_stage1_synthetic.py',
    '../_base_/models/fmanet_demo.py',
    '../_base_/datasets/demo_scenes.py',
    '../_base_/schedules/demo.py',
]

model = dict(
    architecture=_base_.demo_architecture,
    net_d=_base_.demo_net_d,
    losses=dict(flow=dict(loss_weight=_base_.demo_flow_weight)),
)
train_dataloader = dict(dataset=_base_.demo_scenes)
val_dataloader = dict(dataset=dict(motion=_base_.demo_motion))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=3441, val_interval=500)
param_scheduler = [
    _base_.demo_warm_up,
    dict(_base_.param_scheduler, milestones=[2409, 2925, 3269]),
]
optim_wrapper = _base_.demo_optim_wrapper
default_hooks = dict(checkpoint=dict(interval=500))
