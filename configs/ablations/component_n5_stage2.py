# Five flow-mask pairs, n = 5.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_n5_stage1/iter_300000.pth'
model = dict(
    architecture=dict(num_flows=5),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
