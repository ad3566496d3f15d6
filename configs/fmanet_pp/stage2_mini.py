# Stage 2 of FMA-Net++ on a small data set of one's own in data/mini_me.
_base_ = ['stage2.py', '../_base_/datasets/mini_me.py']
work_dir = 'work_dirs/fmanet_pp/stage2_mini'

stage1 = 'work_dirs/fmanet_pp/stage1_mini/iter_280000.pth'
model = dict(
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
train_dataloader = dict(dataset=dict(_base_.mini_train, pipeline=_base_.clip_pipeline))
val_dataloader = dict(dataset=_base_.mini_val)
mini_test = dict(_base_.me_reds4, **_base_.mini_val)
test_dataloader = [dict(_base_.val_dataloader, dataset=mini_test)]
test_evaluator = [dict(type='Evaluator', metrics=[dict(type='VSRDBMetric')])]
