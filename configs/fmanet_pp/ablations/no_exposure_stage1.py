# Without the exposure extractor (ETE) and the modulation by exposure (ETM).
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/no_exposure_stage1'

model = dict(exposure=None)
