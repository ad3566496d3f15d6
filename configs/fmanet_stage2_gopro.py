# The network of stage 2, tested on GoPro.
_base_ = ['fmanet_stage2.py', '_base_/datasets/gopro.py']

model = dict(net_d=dict(init_cfg=None))
train_dataloader = None
train_cfg = None
optim_wrapper = None
param_scheduler = None
val_dataloader = None
val_cfg = None
val_evaluator = None
test_dataloader = _base_.gopro_dataloader
test_evaluator = _base_.gopro_evaluator
