# Bicubic enlargement of the blurry frames, tested like the quick start's stage 2.
_base_ = ['baselines/bicubic.py', '_base_/datasets/mini.py']

val_dataloader = dict(dataset=_base_.mini_val)
test_dataloader = val_dataloader
