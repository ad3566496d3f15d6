# Stage 2 of a tiny FMA-Net on the middles of the clips that the tiny FMA-Net++ learns
# from, in as many iterations.
_base_ = [
    '../fmanet_stage2.py',
    '../_base_/quickstart.py',
    '../_base_/datasets/synthetic.py',
    '../_base_/datasets/synthetic_clips.py',
    '../_base_/fmanet_pp_tiny.py',
]
work_dir = 'work_dirs/fmanet_pp/tiny_fmanet_stage2'

stage1 = 'work_dirs/fmanet_pp/tiny_fmanet_stage1/iter_80.pth'
model = dict(
    architecture=_base_.tiny,
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(flow=dict(loss_weight=0.1 * _base_.tiny_flow_weight)),
)
scenes = dict(
    _base_.clips_train,
    pipeline=[dict(type='CentreWindow'), _base_.synthetic_flip, _base_.synthetic_pack],
    **_base_.tiny_clips,
)
val_scenes = dict(
    _base_.clips_val,
    pipeline=[dict(type='CentreWindow', num_output_frames=1), _base_.synthetic_pack],
    clip_length=5,
    **_base_.tiny_val_clips,
)
train_dataloader = dict(batch_size=2, num_workers=1, dataset=scenes)
val_dataloader = dict(num_workers=1, dataset=val_scenes)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=120, val_interval=120)
param_scheduler = dict(milestones=[84, 102, 114])
optim_wrapper = dict(optimizer=_base_.tiny_optimizer)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=120))
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
