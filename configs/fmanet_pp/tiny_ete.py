# A tiny exposure extractor, trained on small synthetic scenes.
_base_ = ['ete_synthetic.py', '../_base_/fmanet_pp_tiny.py']
work_dir = 'work_dirs/fmanet_pp/tiny_ete'

model = dict(exposure=dict(width=16))
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(
        size=(40, 40),
        motion=_base_.tiny_clips.motion,
        pipeline=[dict(type='RandomViews', patch_size=32), _base_.clips_pack],
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(size=(40, 40), motion=_base_.tiny_clips.motion, length=300),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=250, val_interval=250)
param_scheduler = dict(milestones=[175, 212, 237])
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=250))
