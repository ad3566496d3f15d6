# Adam with a high learning rate, a warm-up and clipped gradients, in bfloat16. The
# stages add the iterations at which the rate is halved.
demo_optim_wrapper = dict(
    type='Bf16OptimWrapper', optimizer=dict(lr=8e-4), clip_grad=dict(max_norm=1.0)
)
demo_warm_up = dict(type='LinearLR', start_factor=1 / 200, end=200, by_epoch=False)
