# Stage 1 of a tiny network for x1, trained on small synthetic scenes.
_base_ = 'tiny_stage1.py'

model = dict(architecture=dict(scale=1, degradation_kernel_size=13))
train_dataloader = dict(dataset=dict(scale=1))
val_dataloader = dict(dataset=dict(scale=1))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=150, val_interval=150)
param_scheduler = dict(milestones=[105, 128, 143])
