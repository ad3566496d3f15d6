# FMA-Net_s: 2 FRMA blocks instead of 4.
_base_ = 'fmanet_stage2.py'

stage1 = 'work_dirs/fmanet_s_stage1/iter_300000.pth'
model = dict(
    architecture=dict(num_blocks=2), net_d=dict(init_cfg=dict(checkpoint=stage1))
)
