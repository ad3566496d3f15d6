# Conventional instead of flow-guided dynamic filtering.
_base_ = 'demo_stage1.py'

model = dict(net_d=dict(downsampling=dict(type='DynamicDownsampling')))
