# The quick start's stage 2.
_base_ = ['fmanet_stage2_mini.py', '_base_/quickstart.py']

model = dict(
    net_d=dict(
        kernel_size=_base_.tiny_degradation_kernel,
        init_cfg=dict(checkpoint='work_dirs/quickstart_stage1/iter_200.pth'),
        **_base_.tiny_net,
    ),
    net_r=dict(
        degradation_kernel_size=_base_.tiny_degradation_kernel, **_base_.tiny_net
    ),
    losses=dict(flow=dict(loss_weight=0.1 * _base_.quick_flow_weight)),
)
train_pipeline = _base_.train_pipeline
train_pipeline[4].patch_size = 32
train_dataloader = dict(dataset=dict(pipeline=train_pipeline), **_base_.quick_loading)
train_cfg = dict(max_iters=400, val_interval=400)
param_scheduler = dict(milestones=[280, 340, 380])
optim_wrapper = dict(optimizer=_base_.quick_optimizer)
default_hooks = _base_.quick_logging
