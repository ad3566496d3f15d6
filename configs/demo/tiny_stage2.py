# Stage 2 of the tiny network of the quick start, tested on real clips.
_base_ = [
    '../fmanet_stage2_synthetic.py',
    '../_base_/datasets/real_clips.py',
    '../_base_/quickstart.py',
]

stage1 = 'work_dirs/tiny_stage1/iter_1000.pth'
model = dict(
    architecture=_base_.tiny,
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(flow=dict(loss_weight=0.1 * _base_.quick_flow_weight)),
)
train_dataloader = dict(dataset=_base_.small_scenes, **_base_.quick_loading)
val_dataloader = dict(dataset=dict(motion=_base_.small_motion))
test_dataloader = dict(dataset=_base_.real_clips)
train_cfg = dict(max_iters=1200, val_interval=1200)
param_scheduler = dict(milestones=[840, 1020, 1140])
optim_wrapper = dict(optimizer=_base_.quick_optimizer)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=250))
