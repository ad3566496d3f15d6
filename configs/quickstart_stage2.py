# The quick start's stage 2.
_base_ = ['fmanet_stage2_mini.py', '_base_/quickstart.py']

stage1 = 'work_dirs/quickstart_stage1/iter_200.pth'
model = dict(
    architecture=_base_.tiny,
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(flow=dict(loss_weight=0.1 * _base_.quick_flow_weight)),
)
crop = dict(_base_.random_crop, patch_size=32)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
train_dataloader = dict(dataset=dict(pipeline=pipeline), **_base_.quick_loading)
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = dict(milestones=[280, 340, 380])
optim_wrapper = dict(optimizer=_base_.quick_optimizer)
default_hooks = _base_.quick_logging
