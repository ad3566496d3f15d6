# Test of stage 2 of FMA-Net++ on GoPro x4, complete clips.
_base_ = ['stage2.py', '../_base_/datasets/gopro.py']
work_dir = 'work_dirs/fmanet_pp/stage2_gopro'

model = dict(exposure=dict(init_cfg=None), net_d=dict(init_cfg=None))
train_cfg = None
train_dataloader = None
optim_wrapper = None
param_scheduler = None
val_cfg = None
val_dataloader = None
val_evaluator = None
gopro_clips = dict(
    type='GoProClipDataset',
    data_root=_base_.gopro_dataloader.dataset.data_root,
    ann_file=_base_.gopro_dataloader.dataset.ann_file,
    data_prefix=_base_.gopro_dataloader.dataset.data_prefix,
    test_mode=True,
    pipeline=_base_.test_pipeline,
)
test_dataloader = [
    dict(
        batch_size=1,
        num_workers=4,
        sampler=dict(type='ContiguousSampler'),
        dataset=gopro_clips,
    )
]
test_evaluator = [
    dict(type='Evaluator', metrics=[dict(type='VSRDBMetric', prefix='GoPro')])
]
