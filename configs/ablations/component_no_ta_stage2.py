# Without the temporal-anchor loss; its heads get no gradients.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_no_ta_stage1/iter_300000.pth'
model = dict(
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(ta_d=None, ta_r=None),
)
find_unused_parameters = True
