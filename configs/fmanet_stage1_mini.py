# Stage 1 on a small data set of one's own in data/mini.
_base_ = ['fmanet_stage1.py', '_base_/datasets/mini.py']

train_dataloader = dict(dataset=dict(_base_.mini_train, pipeline=_base_.train_pipeline))
val_dataloader = dict(dataset=_base_.mini_val)
test_dataloader = val_dataloader
