# Stage 2 with the schedule of the authors' released code.
_base_ = ['fmanet_stage2.py', '_base_/schedules/released_400e.py']

stage1 = 'work_dirs/fmanet_stage1_400e/iter_1303200.pth'
model = dict(net_d=dict(init_cfg=dict(checkpoint=stage1)))
train_cfg = _base_.released_train_cfg
param_scheduler = dict(milestones=_base_.released_milestones)
