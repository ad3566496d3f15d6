# A single flow-mask pair towards each neighbour, n = 1.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/flows_n1_stage1'

model = dict(architecture=dict(num_flows=1))
