# Stage 2 of x1, see fmanet_x1_stage1.py.
_base_ = ['fmanet_stage2.py', '_base_/datasets/reds_x1.py']

stage1 = 'work_dirs/fmanet_x1_stage1/iter_300000.pth'
model = dict(
    architecture=_base_.x1_architecture,
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
x1_pipeline = [*_base_.load_all, _base_.x1_crop, _base_.random_flip, _base_.pack_all]
x1_datasets = [
    dict(_base_.reds_train, data_prefix=_base_.x1_train_kinds, pipeline=x1_pipeline),
    dict(
        _base_.reds_val_as_train, data_prefix=_base_.x1_val_kinds, pipeline=x1_pipeline
    ),
]
train_dataloader = dict(dataset=dict(datasets=x1_datasets))
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train_blur'),
        pipeline=[*_base_.load_frames, _base_.x1_check, _base_.pack_frames],
    )
)
test_dataloader = val_dataloader
