# A single FRMA block, M = 1.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        num_blocks=1,
        init_cfg=dict(checkpoint='work_dirs/blocks_m1_stage1/iter_300000.pth'),
    ),
    net_r=dict(num_blocks=1),
)
