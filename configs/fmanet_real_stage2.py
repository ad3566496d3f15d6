# Stage 2 on REDS with footage as it is, see fmanet_real_stage1.py. Tested on clean
# REDS4; tools/dataset_converters/compress_frames.py makes compressed frames to test on.
_base_ = 'fmanet_stage2.py'

stage1 = 'work_dirs/fmanet_real_stage1/iter_300000.pth'
model = dict(net_d=dict(init_cfg=dict(checkpoint=stage1)))
real_pipeline = [
    *_base_.load_all,
    dict(type='RealisticDegradation'),
    _base_.random_crop,
    _base_.random_flip,
    _base_.pack_all,
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.reds_train, pipeline=real_pipeline),
            dict(_base_.reds_val_as_train, pipeline=real_pipeline),
        ]
    )
)
