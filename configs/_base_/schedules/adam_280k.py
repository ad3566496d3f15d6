# As in the paper of FMA-Net++: 280K iterations per stage, the learning rate halved at
# 70, 85, 95 %.
_base_ = 'adam_300k.py'

train_cfg = dict(max_iters=280_000)
param_scheduler = dict(milestones=[196_000, 238_000, 266_000])
