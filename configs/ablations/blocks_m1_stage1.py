# A single FRMA block, M = 1.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(num_blocks=1))
