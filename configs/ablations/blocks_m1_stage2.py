# A single FRMA block, M = 1.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/blocks_m1_stage1/iter_300000.pth'
model = dict(
    architecture=dict(num_blocks=1),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
