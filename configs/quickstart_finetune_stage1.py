# The quick start's stage 1: fine-tuning by a few small patches.
_base_ = ['finetune_stage1.py', '_base_/quickstart.py']

model = dict(losses=dict(flow=dict(loss_weight=_base_.quick_flow_weight)))
crop = dict(_base_.random_crop, patch_size=32)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
train_dataloader = dict(dataset=dict(pipeline=pipeline), **_base_.quick_loading)
train_cfg = dict(max_iters=100, val_interval=100)
param_scheduler = [
    _base_.finetune_warm_up,
    dict(type='MultiStepLR', by_epoch=False, milestones=[70, 85, 95], gamma=0.5),
]
