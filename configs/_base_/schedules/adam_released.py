# As in the authors' released code: 400 epochs, halved after 260, 360, 380 and 390. An
# epoch of their 266 REDS clips of 100 frames is 98 * 266 / 8 = 3258 iterations.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=400 * 3258, val_interval=3258)
val_cfg = dict(type='MultiValLoop')
test_cfg = dict(type='MultiTestLoop')

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-4))
param_scheduler = dict(
    type='MultiStepLR',
    by_epoch=False,
    milestones=[260 * 3258, 360 * 3258, 380 * 3258, 390 * 3258],
    gamma=0.5,
)
auto_scale_lr = dict(base_batch_size=8)
