# Without the exposure extractor (ETE) and the modulation by exposure (ETM).
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/no_exposure_stage2'

stage1 = 'work_dirs/fmanet_pp/ablations/no_exposure_stage1/iter_280000.pth'
model = dict(
    exposure=None,
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
