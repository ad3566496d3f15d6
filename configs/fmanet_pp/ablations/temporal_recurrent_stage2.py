# Recurrent propagation: of the two neighbours, one has passed the level already.
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/temporal_recurrent_stage2'

stage1 = 'work_dirs/fmanet_pp/ablations/temporal_recurrent_stage1/iter_280000.pth'
model = dict(
    architecture=dict(temporal='recurrent'),
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
restorer = dict(_delete_=True, type='SequenceRestorer', scale=4)
