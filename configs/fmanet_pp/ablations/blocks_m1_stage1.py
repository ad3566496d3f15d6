# One HRBA block in each net, M = 1.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/blocks_m1_stage1'

model = dict(architecture=dict(num_blocks=1))
