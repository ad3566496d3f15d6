# Stage 1 on REDS with footage as it is: the blurry frames are also out of focus, noisy,
# resized by unknown kernels and compressed; the sharp frames and the flow stay exact.
_base_ = 'fmanet_stage1.py'

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
