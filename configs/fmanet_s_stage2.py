# FMA-Net_s: 2 FRMA blocks instead of 4.
_base_ = 'fmanet_stage2.py'

model = dict(
    net_d=dict(
        num_blocks=2,
        init_cfg=dict(checkpoint='work_dirs/fmanet_s_stage1/iter_300000.pth'),
    ),
    net_r=dict(num_blocks=2),
)
