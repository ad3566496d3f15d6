# REDS x4 as published: training on the 266 clips that are not REDS4, validation on
# REDS4 without the first and the last frame of each clip.
#
# Validation is that of stage 1, which needs all sharp HR frames and predicts the blurry
# LR one. Stage 2 needs the sharp HR centre frame alone, see fmanet_stage2.py.
meta_keys = [
    'key',
    'img_path',
    'img_channel_order',
    'gt_channel_order',
    'img_sharp_channel_order',
]
train_pipeline = [
    dict(type='LoadFrames', key='img'),
    dict(type='LoadFrames', key='gt'),
    dict(type='LoadFrames', key='img_sharp'),
    dict(type='LoadFlow'),
    dict(type='VSRDBRandomCrop', patch_size=64, scale=4),
    dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5),
    dict(type='PackInputs', data_keys=['img_sharp', 'flow'], meta_keys=meta_keys),
]
val_pipeline = [
    dict(type='LoadFrames', key='img'),
    dict(type='LoadFrames', key='gt'),
    dict(type='CheckScale', scale=4),
    dict(type='PackInputs', meta_keys=meta_keys),
]

# batch_size is that of one GPU; the published 8 are all in all.
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='REDSVSRDBDataset',
                subset='non-REDS4',
                data_root='data/REDS',
                data_prefix=dict(
                    img='train_blur_bicubic/X4',
                    gt='train_sharp',
                    img_sharp='train_sharp_bicubic/X4',
                    flow='train_flow/X4',
                ),
                num_input_frames=3,
                pipeline=train_pipeline,
            ),
            dict(
                type='REDSVSRDBDataset',
                data_root='data/REDS',
                data_prefix=dict(
                    img='val_blur_bicubic/X4',
                    gt='val_sharp',
                    img_sharp='val_sharp_bicubic/X4',
                    flow='val_flow/X4',
                ),
                num_input_frames=3,
                pipeline=train_pipeline,
            ),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='ContiguousSampler'),
    dataset=dict(
        type='REDSVSRDBDataset',
        subset='REDS4',
        data_root='data/REDS',
        data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
        num_input_frames=3,
        test_mode=True,
        pipeline=val_pipeline,
    ),
)
test_dataloader = val_dataloader

# How well NetD reproduces the blurry LR frame.
val_evaluator = dict(
    type='Evaluator',
    metrics=[
        dict(type='PSNR', gt_key='blurry_img', prefix='Reconstruction'),
        dict(type='SSIM', gt_key='blurry_img', prefix='Reconstruction'),
    ],
)
test_evaluator = val_evaluator
