# Stage 2 of FMA-Net++ on REDS-ME: NetR joins, and both nets are trained. The losses of
# stage 1 keep a tenth of their weights; the exposure extractor stays frozen.
_base_ = 'stage1.py'
work_dir = 'work_dirs/fmanet_pp/stage2'

stage1 = 'work_dirs/fmanet_pp/stage1/iter_280000.pth'
model = dict(
    type='FMANetPP',
    # The default of tools/train.py --stage1. Its extractor is that of ete.py.
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(
        init_cfg=dict(type='StrictPretrained', checkpoint=stage1, prefix='net_d.')
    ),
    losses=dict(
        recon=dict(loss_weight=0.1),
        hr_warp=dict(loss_weight=1e-5),
        flow=dict(loss_weight=1e-5),
        restoration=dict(type='L1Loss', loss_weight=1.0),
    ),
)
restorer = dict(type='LevelRestorer')

val_evaluator = dict(
    metrics=[
        dict(type='VSRDBMetric', measures=['PSNR', 'SSIM'], motion=None),
    ]
)
default_hooks = dict(checkpoint=dict(save_best='PSNR'))

# The rows of the paper: complete clips at levels 5:4 and 5:5, and changing exposure.
whole = dict(clip_length=None)
test_sets = dict(
    ME_5_4=dict(_base_.me_reds4, levels=[4], **whole),
    ME_5_5=dict(_base_.me_reds4, **whole),
    RE=dict(
        type='REDSREDataset',
        subset='REDS4',
        data_root='data/REDS_ME',
        data_prefix=_base_.me_frames,
        test_mode=True,
        pipeline=_base_.test_pipeline,
    ),
)
test_dataloader = [dict(_base_.val_dataloader, dataset=d) for d in test_sets.values()]
test_evaluator = [
    dict(type='Evaluator', metrics=[dict(type='VSRDBMetric', prefix=f'REDS4_{name}')])
    for name in test_sets
]
