# NetD with conventional dynamic filters, which read the same place in all frames. Only
# its reconstruction of blurry frames is compared (Table S2).
_base_ = '../stage1.py'
work_dir = 'work_dirs/fmanet_pp/ablations/filter_conventional_stage1'

model = dict(net_d=dict(downsampling=dict(type='DynamicDownsampling')))
