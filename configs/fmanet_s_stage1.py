# FMA-Net_s: 2 FRMA blocks instead of 4.
_base_ = 'fmanet_stage1.py'

model = dict(architecture=dict(num_blocks=2))
