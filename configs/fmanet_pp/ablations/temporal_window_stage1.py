# A sliding window of three frames, each restored on its own.
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/temporal_window_stage1'

model = dict(architecture=dict(temporal='window'))
window = dict(clip_length=3)
train_dataloader = dict(
    dataset=dict(
        datasets=[dict(d, **window) for d in _base_.train_dataloader.dataset.datasets]
    )
)
