# A sliding window of three frames, each restored on its own.
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/temporal_window_stage2'

stage1 = 'work_dirs/fmanet_pp/ablations/temporal_window_stage1/iter_280000.pth'
model = dict(
    architecture=dict(temporal='window'),
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
restorer = dict(_delete_=True, type='SequenceRestorer', scale=4)
window = dict(clip_length=3)
train_dataloader = dict(
    dataset=dict(
        datasets=[dict(d, **window) for d in _base_.train_dataloader.dataset.datasets]
    )
)
