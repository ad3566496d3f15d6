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
    metrics=[dict(type='VSRDBMetric', measures=['PSNR', 'SSIM'], motion=None)]
)
default_hooks = dict(checkpoint=dict(save_best='PSNR'))

test_dataloader = [
    dict(_base_.val_dataloader, dataset=dataset)
    for dataset in _base_.me_test_sets.values()
]
test_evaluator = [
    dict(type='Evaluator', metrics=[dict(type='VSRDBMetric', prefix=name)])
    for name in _base_.me_test_sets
]
