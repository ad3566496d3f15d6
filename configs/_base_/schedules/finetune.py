# A few hundred iterations from trained weights: a low learning rate with a short
# warm-up, clipped gradients, frequent validation.
finetune_optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=1.0))
finetune_warm_up = dict(type='LinearLR', start_factor=0.1, end=20, by_epoch=False)
finetune_hooks = dict(
    logger=dict(interval=20), checkpoint=dict(interval=50, max_keep_ckpts=2)
)
