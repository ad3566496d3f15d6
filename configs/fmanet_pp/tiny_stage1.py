# Stage 1 of a tiny FMA-Net++, trained on small synthetic clips.
_base_ = ['stage1_synthetic.py', '../_base_/fmanet_pp_tiny.py']
work_dir = 'work_dirs/fmanet_pp/tiny_stage1'

ete = 'work_dirs/fmanet_pp/tiny_ete/iter_1000.pth'
model = dict(
    architecture=_base_.tiny_pp,
    exposure=dict(width=16, init_cfg=dict(checkpoint=ete)),
    losses=dict(flow=dict(loss_weight=_base_.tiny_flow_weight)),
)
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    dataset=dict(pipeline=[_base_.clips_flip, _base_.clips_pack], **_base_.tiny_clips),
)
val_dataloader = dict(num_workers=1, dataset=_base_.tiny_val_clips)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=80, val_interval=80)
param_scheduler = dict(milestones=[56, 68, 76])
optim_wrapper = dict(optimizer=_base_.tiny_optimizer)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=80))
