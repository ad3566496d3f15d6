# Conventional instead of flow-guided dynamic filtering.
_base_ = 'tiny_stage1.py'

model = dict(net_d=dict(downsampling=dict(type='DynamicDownsampling')))
