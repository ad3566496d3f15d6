# REDS-ME x4 as published: training on clips of 10 frames of the 266 clips that are not
# REDS4, at all five levels of exposure; validation on REDS4 at level 5:5. The sets are
# made by tools/dataset_converters/reds_me.
#
# Data sets and pipeline steps have names, so that other configs can build on them.
load_frames = [dict(type='LoadFrames', key='img'), dict(type='LoadFrames', key='gt')]
random_flip = dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5)
pack_clip = dict(type='PackClip')
clip_pipeline = [
    *load_frames,
    dict(type='LoadFlow'),
    dict(type='VSRDBRandomCrop', patch_size=64, scale=4),
    random_flip,
    pack_clip,
]
test_pipeline = [*load_frames, dict(type='CheckScale', scale=4), pack_clip]

me_frames = dict(img='train_blur_bicubic/X4', gt='train_sharp')
me_train = dict(
    type='REDSMEDataset',
    subset='non-REDS4',
    data_root='data/REDS_ME',
    data_prefix=dict(me_frames, flow='train_flow/X4'),
    clip_length=10,
    pipeline=clip_pipeline,
)
# REDS4 are training clips, so the validation clips of REDS are free to train on.
me_val_as_train = dict(me_train, subset='all', data_root='data/REDS_ME_val')
# All frames of REDS4 in pieces, for less memory.
me_reds4 = dict(
    type='REDSMEDataset',
    subset='REDS4',
    levels=[5],
    data_root='data/REDS_ME',
    data_prefix=me_frames,
    clip_length=10,
    clip_stride=10,
    test_mode=True,
    pipeline=test_pipeline,
)
# The rows of the paper: complete clips at levels 5:4 and 5:5, and changing exposure.
me_complete = dict(me_reds4, clip_length=None, clip_stride=1)
me_test_sets = dict(
    REDS4_ME_5_4=dict(me_complete, levels=[4]),
    REDS4_ME_5_5=me_complete,
    REDS4_RE=dict(
        type='REDSREDataset',
        subset='REDS4',
        data_root='data/REDS_ME',
        data_prefix=me_frames,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

# batch_size is that of one GPU; the published 8 are the total over all GPUs.
train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ConcatDataset', datasets=[me_train, me_val_as_train]),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    sampler=dict(type='ContiguousSampler'),
    dataset=me_reds4,
)
test_dataloader = val_dataloader
