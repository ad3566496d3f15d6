# Bicubic enlargement of the real clips.
_base_ = ['../baselines/bicubic.py', '../_base_/datasets/real_clips.py']

test_dataloader = dict(dataset=_base_.real_clips)
