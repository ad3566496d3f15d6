# REDS x4 as published: training on the 266 clips that are not REDS4, validation on
# REDS4 without the first and the last frame of each clip.
#
# Data sets and pipeline steps have names, so that other configs can build on them:
# dict(_base_.reds_train, num_input_frames=5).
meta_keys = [
    'key',
    'img_path',
    'img_channel_order',
    'gt_channel_order',
    'img_sharp_channel_order',
]
load_frames = [dict(type='LoadFrames', key='img'), dict(type='LoadFrames', key='gt')]
load_all = [
    *load_frames,
    dict(type='LoadFrames', key='img_sharp'),
    dict(type='LoadFlow'),
]
random_crop = dict(type='VSRDBRandomCrop', patch_size=64, scale=4)
random_flip = dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5)
pack_frames = dict(type='PackInputs', meta_keys=meta_keys)
pack_all = dict(pack_frames, data_keys=['img_sharp', 'flow'])

train_pipeline = [*load_all, random_crop, random_flip, pack_all]
val_pipeline = [*load_frames, dict(type='CheckScale', scale=4), pack_frames]

train_frames = dict(img='train_blur_bicubic/X4', gt='train_sharp')
val_frames = dict(img='val_blur_bicubic/X4', gt='val_sharp')

reds_train = dict(
    type='REDSVSRDBDataset',
    subset='non-REDS4',
    data_root='data/REDS',
    data_prefix=dict(
        train_frames, img_sharp='train_sharp_bicubic/X4', flow='train_flow/X4'
    ),
    num_input_frames=3,
    pipeline=train_pipeline,
)
# REDS4 are training clips, so the validation clips of REDS are free to train on.
reds_val_as_train = dict(
    type='REDSVSRDBDataset',
    data_root='data/REDS',
    data_prefix=dict(val_frames, img_sharp='val_sharp_bicubic/X4', flow='val_flow/X4'),
    num_input_frames=3,
    pipeline=train_pipeline,
)
# For validating stage 1, with all sharp HR frames of a window; fmanet_stage2.py takes
# the centre one alone.
reds4 = dict(
    type='REDSVSRDBDataset',
    subset='REDS4',
    data_root='data/REDS',
    data_prefix=train_frames,
    num_input_frames=3,
    test_mode=True,
    pipeline=val_pipeline,
)

# batch_size is that of one GPU; the published 8 are the total over all GPUs.
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ConcatDataset', datasets=[reds_train, reds_val_as_train]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='ContiguousSampler'),
    dataset=reds4,
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
