# A single flow-mask pair, n = 1.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_n1_stage1/iter_300000.pth'
model = dict(
    architecture=dict(num_flows=1),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
