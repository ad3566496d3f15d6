# Stage 1 on a small set of one's own in data/mini.
_base_ = ['fmanet_stage1.py', '_base_/datasets/mini.py']

train_dataloader = dict(
    dataset=dict(pipeline=_base_.train_pipeline, **_base_.mini_train_dataset)
)
val_dataloader = dict(dataset=_base_.mini_val_dataset)
test_dataloader = val_dataloader
