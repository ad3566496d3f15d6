# Stage 1 of the tiny network of the quick start, trained on small synthetic scenes.
_base_ = ['../fmanet_stage1_synthetic.py', '../_base_/quickstart.py']

model = dict(
    architecture=_base_.tiny,
    losses=dict(flow=dict(loss_weight=_base_.quick_flow_weight)),
)
train_dataloader = dict(dataset=_base_.small_scenes, **_base_.quick_loading)
val_dataloader = dict(dataset=dict(motion=_base_.small_motion))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1000, val_interval=1000)
param_scheduler = dict(milestones=[700, 850, 950])
optim_wrapper = dict(optimizer=_base_.quick_optimizer)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=250))
