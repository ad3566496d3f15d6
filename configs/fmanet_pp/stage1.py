# Stage 1 of FMA-Net++ on REDS-ME: NetD learns motion and degradation, the exposure
# extractor of ete.py is frozen. Validation measures how well it reproduces the blurry
# low-resolution frames from the sharp ones; testing sorts them by motion (Table S2).
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/fmanet_pp.py',
    '../_base_/datasets/reds_me.py',
    '../_base_/schedules/adam_280k.py',
]
work_dir = 'work_dirs/fmanet_pp/stage1'

reblur = dict(
    type='VSRDBMetric', protocol='full', gt_key='blurry_img', prefix='Reconstruction'
)
val_evaluator = dict(
    type='Evaluator', metrics=[dict(reblur, measures=['PSNR', 'SSIM'], motion=None)]
)
test_evaluator = dict(
    type='Evaluator',
    metrics=[dict(reblur, measures=['PSNR', 'tOF'], motion_key='gt_img')],
)
default_hooks = dict(checkpoint=dict(save_best='Reconstruction/PSNR'))
