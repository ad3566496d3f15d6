# Stage 1 with the schedule of the authors' released code.
_base_ = ['fmanet_stage1.py', '_base_/schedules/released_400e.py']

train_cfg = _base_.released_train_cfg
param_scheduler = dict(milestones=_base_.released_milestones)
