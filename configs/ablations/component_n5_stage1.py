# Five flow-mask pairs, n = 5.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(num_flows=5))
