# What the networks we compare with share: data, schedule and measures of stage 2, but
# only the blurry LR frames and the sharp HR one. A baseline states its model, and the
# frames of its windows if they are not 3.
_base_ = '../fmanet_stage2.py'

baseline_pipeline = [
    dict(type='LoadFrames', key='img'),
    dict(type='LoadFrames', key='gt'),
    dict(type='VSRDBRandomCrop', patch_size=64, scale=4),
    dict(type='VSRDBRandomFlip', horizontal=0.5, vertical=0.5),
    dict(type='PackInputs', meta_keys=_base_.meta_keys),
]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(
                type='REDSVSRDBDataset',
                subset='non-REDS4',
                data_root='data/REDS',
                data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
                num_input_frames=3,
                num_output_frames=1,
                pipeline=baseline_pipeline,
            ),
            dict(
                type='REDSVSRDBDataset',
                data_root='data/REDS',
                data_prefix=dict(img='val_blur_bicubic/X4', gt='val_sharp'),
                num_input_frames=3,
                num_output_frames=1,
                pipeline=baseline_pipeline,
            ),
        ],
    )
)
