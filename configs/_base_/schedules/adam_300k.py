# As in the paper: 300K iterations per stage, the learning rate halved at 70, 85, 95 %.
train_cfg = dict(type='ResumableTrainLoop', max_iters=300_000, val_interval=5000)
val_cfg = dict(type='MultiValLoop')
test_cfg = dict(type='MultiTestLoop')

# Gradients are not clipped, as published; --cfg-options
# optim_wrapper.clip_grad.max_norm=1 clips them, and logs their norm.
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
param_scheduler = dict(
    type='MultiStepLR',
    by_epoch=False,
    milestones=[210_000, 255_000, 285_000],
    gamma=0.5,
)
# The total batch size that lr is for; --auto-scale-lr scales from it.
auto_scale_lr = dict(base_batch_size=8)
