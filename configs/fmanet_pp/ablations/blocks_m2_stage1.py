# Two HRBA blocks in each net, M = 2.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/blocks_m2_stage1'

model = dict(architecture=dict(num_blocks=2))
