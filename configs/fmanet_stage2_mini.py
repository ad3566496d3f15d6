# Stage 2 on a small set of one's own in data/mini.
_base_ = ['fmanet_stage2.py', '_base_/datasets/mini.py']

model = dict(
    net_d=dict(init_cfg=dict(checkpoint='work_dirs/fmanet_stage1_mini/iter_300000.pth'))
)
train_dataloader = dict(
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.mini_train_dataset)
)
val_dataloader = dict(dataset=_base_.mini_val_dataset)
test_dataloader = val_dataloader
