# Five flow-mask pairs towards each neighbour, n = 5.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/flows_n5_stage1'

model = dict(architecture=dict(num_flows=5))
