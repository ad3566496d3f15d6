# Stage 2 of a tiny FMA-Net++, trained on small synthetic clips.
_base_ = ['stage2_synthetic.py', '../_base_/fmanet_pp_tiny.py']
work_dir = 'work_dirs/fmanet_pp/tiny_stage2'

stage1 = 'work_dirs/fmanet_pp/tiny_stage1/iter_80.pth'
model = dict(
    architecture=_base_.tiny_pp,
    exposure=dict(width=16, init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(flow=dict(loss_weight=0.1 * _base_.tiny_flow_weight)),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(pipeline=[_base_.clips_flip, _base_.clips_pack], **_base_.tiny_clips),
)
val_dataloader = dict(num_workers=1, dataset=_base_.tiny_val_clips)
train_cfg = dict(max_iters=120, val_interval=120)
param_scheduler = dict(milestones=[84, 102, 114])
optim_wrapper = dict(optimizer=_base_.tiny_optimizer)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=120))
