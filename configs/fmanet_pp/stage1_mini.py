# Stage 1 of FMA-Net++ on a small data set of one's own in data/mini_me.
_base_ = ['stage1.py', '../_base_/datasets/mini_me.py']
work_dir = 'work_dirs/fmanet_pp/stage1_mini'

ete = 'work_dirs/fmanet_pp/ete_mini/iter_20000.pth'
model = dict(exposure=dict(init_cfg=dict(checkpoint=ete)))
train_dataloader = dict(dataset=dict(_base_.mini_train, pipeline=_base_.clip_pipeline))
val_dataloader = dict(dataset=_base_.mini_val)
test_dataloader = val_dataloader
