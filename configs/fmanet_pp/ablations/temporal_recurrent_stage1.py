# Recurrent propagation: of the two neighbours, one has passed the level already.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/temporal_recurrent_stage1'

model = dict(architecture=dict(temporal='recurrent'))
