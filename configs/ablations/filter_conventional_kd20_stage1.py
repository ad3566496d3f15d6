# Conventional dynamic filtering, k_d = 20.
_base_ = '../fmanet_stage1.py'

model = dict(net_d=dict(downsampling=dict(type='DynamicDownsampling')))
