# Stage 2 of FMA-Net++ on synthetic scenes, without any data on disk.
_base_ = ['stage2.py', '../_base_/datasets/synthetic_clips.py']
work_dir = 'work_dirs/fmanet_pp/stage2_synthetic'

stage1 = 'work_dirs/fmanet_pp/stage1_synthetic/iter_280000.pth'
model = dict(
    exposure=dict(init_cfg=dict(checkpoint=stage1)),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
train_dataloader = dict(dataset=_base_.clips_train)
val_dataloader = dict(dataset=_base_.clips_val)
# At the longest exposure, and with one that changes.
longest = {key: value for key, value in _base_.clips_val.items() if key != '_delete_'}
synthetic_sets = dict(longest=longest, walking=dict(longest, walking=True))
test_dataloader = [
    dict(
        batch_size=1,
        num_workers=4,
        sampler=dict(type='ContiguousSampler'),
        dataset=dataset,
    )
    for dataset in synthetic_sets.values()
]
test_evaluator = [
    dict(
        type='Evaluator', metrics=[dict(type='VSRDBMetric', prefix=f'synthetic_{name}')]
    )
    for name in synthetic_sets
]
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
