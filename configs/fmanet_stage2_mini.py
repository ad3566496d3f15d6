# Stage 2 on a small data set of one's own in data/mini.
_base_ = ['fmanet_stage2.py', '_base_/datasets/mini.py']

stage1 = 'work_dirs/fmanet_stage1_mini/iter_300000.pth'
model = dict(net_d=dict(init_cfg=dict(checkpoint=stage1)))
train_dataloader = dict(dataset=dict(_base_.mini_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=_base_.mini_val)
test_dataloader = val_dataloader
