# The quick start's stage 2: fine-tuning by a few small patches.
_base_ = ['finetune_stage2.py', '_base_/quickstart.py']

model = dict(losses=dict(flow=dict(loss_weight=0.1 * _base_.quick_flow_weight)))
crop = dict(_base_.random_crop, patch_size=32)
pipeline = [*_base_.load_all, crop, _base_.random_flip, _base_.pack_all]
train_dataloader = dict(dataset=dict(pipeline=pipeline), **_base_.quick_loading)
train_cfg = dict(max_iters=200, val_interval=100)
param_scheduler = [
    _base_.finetune_warm_up,
    dict(type='MultiStepLR', by_epoch=False, milestones=[140, 170, 190], gamma=0.5),
]
