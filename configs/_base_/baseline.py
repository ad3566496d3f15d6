# Common to the networks that FMA-Net is compared with: data, schedule and measures of
# stage 2, but only the blurry LR frames and the sharp HR centre frame. A baseline adds
# its network, and its window if that is not 3 frames.
_base_ = '../fmanet_stage2.py'

model = dict(
    _delete_=True,
    type='BaseEditModel',
    pixel_loss=dict(type='L1Loss', loss_weight=1.0, reduction='mean'),
    data_preprocessor=_base_.model.data_preprocessor,
)
restorer = dict(type='WindowRestorer', num_frames=3, scale=4)

baseline_pipeline = [
    *_base_.load_frames,
    _base_.random_crop,
    _base_.random_flip,
    _base_.pack_frames,
]
baseline_train = dict(
    _base_.reds_train,
    data_prefix=_base_.train_frames,
    num_output_frames=1,
    pipeline=baseline_pipeline,
)
baseline_val_as_train = dict(
    _base_.reds_val_as_train,
    data_prefix=_base_.val_frames,
    num_output_frames=1,
    pipeline=baseline_pipeline,
)
train_dataloader = dict(dataset=dict(datasets=[baseline_train, baseline_val_as_train]))
