# A single FRMA block, M = 1.
_base_ = '../fmanet_stage1.py'

model = dict(net_d=dict(num_blocks=1))
