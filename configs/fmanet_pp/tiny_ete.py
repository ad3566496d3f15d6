# A tiny exposure extractor, trained on small synthetic scenes.
_base_ = ['ete_synthetic.py', '../_base_/fmanet_pp_tiny.py']
work_dir = 'work_dirs/fmanet_pp/tiny_ete'

model = dict(exposure=dict(width=16))
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    dataset=dict(
        size=(40, 40),
        motion=_base_.tiny_clips.motion,
        # Rendering takes far longer than learning.
        length=1000,
        keep_rendered=True,
        pipeline=[dict(type='RandomViews', patch_size=32), _base_.clips_pack],
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(size=(40, 40), motion=_base_.tiny_clips.motion, length=300),
)
test_dataloader = val_dataloader
train_cfg = dict(max_iters=1000, val_interval=500)
param_scheduler = dict(milestones=[700, 850, 950])
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=500))
