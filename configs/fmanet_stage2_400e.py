# The schedule of the authors' released code, see fmanet_stage1_400e.py.
_base_ = 'fmanet_stage2.py'

model = dict(
    net_d=dict(
        init_cfg=dict(checkpoint='work_dirs/fmanet_stage1_400e/iter_1303200.pth')
    )
)
train_cfg = dict(max_iters=400 * 3258, val_interval=3258)
param_scheduler = dict(milestones=[epoch * 3258 for epoch in (260, 360, 380, 390)])
