# The quick start's stage 1.
_base_ = ['fmanet_stage1_mini.py', '_base_/quickstart.py']

model = dict(
    architecture=_base_.tiny,
    losses=dict(flow=dict(loss_weight=_base_.quick_flow_weight)),
)
crop = dict(_base_.random_crop, patch_size=32)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
train_dataloader = dict(dataset=dict(pipeline=pipeline), **_base_.quick_loading)
train_cfg = dict(max_iters=200, val_interval=200)
param_scheduler = dict(milestones=[140, 170, 190])
optim_wrapper = dict(optimizer=_base_.quick_optimizer)
default_hooks = _base_.quick_logging
