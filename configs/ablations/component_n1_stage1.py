# A single flow-mask pair, n = 1.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(num_flows=1))
