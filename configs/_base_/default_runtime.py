default_scope = 'mmagic'
custom_imports = dict(imports=['fmanet_mm.openmmlab'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    # Validation is logged by iteration, like training.
    logger=dict(type='LoggerHook', interval=100, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    learning_rate=dict(type='LearningRateHook'),
    # With max_skipped=10, ten steps in a row with a NaN loss are only reported.
    guard=dict(type='FiniteGuardHook', max_skipped=0),
    # cudnn_benchmark, below, is for training alone.
    cudnn_search=dict(type='CudnnSearchHook'),
    checkpoint=dict(
        type='SafeCheckpointHook',
        interval=5000,
        by_epoch=False,
        max_keep_ckpts=10,
        save_best='PSNR',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)

# Every run has the same weights and samples; --cfg-options randomness.seed=1 changes
# them.
randomness = dict(seed=0)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=4),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='ConcatImageVisualizer',
    vis_backends=vis_backends,
    fn_key='img_path',
    img_keys=['pred_img'],
    bgr2rgb=True,
)

log_level = 'INFO'
log_processor = dict(type='LogProcessor', window_size=100, by_epoch=False)
load_from = None
resume = False
