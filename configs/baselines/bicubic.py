# Bicubic enlargement of the blurry frames; only tested, there is nothing to train.
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
    type='BaseEditModel',
    generator=dict(type='BicubicUpsampling', scale=4),
    pixel_loss=dict(type='L1Loss'),
    data_preprocessor=_base_.model.data_preprocessor,
)
train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
