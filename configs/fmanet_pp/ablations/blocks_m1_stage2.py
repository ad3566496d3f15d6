# One HRBA block in each net, M = 1.
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/blocks_m1_stage2'

stage1 = 'work_dirs/fmanet_pp/ablations/blocks_m1_stage1/iter_280000.pth'
model = dict(
    architecture=dict(num_blocks=1),
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
