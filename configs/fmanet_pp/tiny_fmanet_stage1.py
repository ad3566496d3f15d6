# Stage 1 of a tiny FMA-Net on the middles of the clips that the tiny FMA-Net++ learns
# from, in as many iterations.
_base_ = [
    '../fmanet_stage1.py',
    '../_base_/quickstart.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/datasets/synthetic_clips.py',
    '../_base_/fmanet_pp_tiny.py',
]
work_dir = 'work_dirs/fmanet_pp/tiny_fmanet_stage1'

model = dict(
    architecture=_base_.tiny,
    losses=dict(flow=dict(loss_weight=_base_.tiny_flow_weight)),
)
window = dict(type='CentreWindow')
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(
        _base_.clips_train,
        pipeline=[window, _base_.synthetic_flip, _base_.synthetic_pack],
        **_base_.tiny_clips,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        _base_.clips_val,
        pipeline=[window, _base_.synthetic_pack],
        clip_length=5,
        **_base_.tiny_val_clips,
    ),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=80, val_interval=80)
param_scheduler = dict(milestones=[56, 68, 76])
optim_wrapper = dict(optimizer=_base_.tiny_optimizer)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=80))
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
