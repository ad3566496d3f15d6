# Bicubic enlargement of the blurry frames; only tested, nothing is trained.
_base_ = '../_base_/baseline.py'

model = dict(generator=dict(type='BicubicUpsampling', scale=4))
train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
