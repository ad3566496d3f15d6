# Stage 2 of a tiny network for x1, tested on a real clip.
_base_ = 'tiny_stage2.py'

stage1 = 'work_dirs/tiny_x1_stage1/iter_150.pth'
model = dict(
    architecture=dict(scale=1, degradation_kernel_size=13),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
train_dataloader = dict(dataset=dict(scale=1))
val_dataloader = dict(dataset=dict(scale=1))
test_dataloader = dict(
    dataset=dict(
        data_root='data/real_clips_x1',
        data_prefix=dict(img='train_blur_bicubic/X1'),
        pipeline=[
            dict(type='LoadFrames', key='img'),
            dict(type='LoadFrames', key='gt'),
            dict(type='CheckScale', scale=1),
            dict(
                type='PackInputs',
                meta_keys=['key', 'img_path', 'img_channel_order', 'gt_channel_order'],
            ),
        ],
    )
)
train_cfg = dict(max_iters=250, val_interval=250)
param_scheduler = dict(milestones=[175, 213, 238])
