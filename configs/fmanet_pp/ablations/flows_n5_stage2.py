# Five flow-mask pairs towards each neighbour, n = 5.
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/flows_n5_stage2'

stage1 = 'work_dirs/fmanet_pp/ablations/flows_n5_stage1/iter_280000.pth'
model = dict(
    architecture=dict(num_flows=5),
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
