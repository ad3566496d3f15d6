# Without the temporal-anchor loss; its heads are left without gradients.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        init_cfg=dict(checkpoint='work_dirs/component_no_ta_stage1/iter_300000.pth')
    ),
    losses=dict(ta_d=None, ta_r=None),
)
find_unused_parameters = True
