# The clips in data/real_clips, made as docs/results.md describes; for testing only.
real_clips = dict(
    _delete_=True,
    type='REDSVSRDBDataset',
    data_root='data/real_clips',
    ann_file='train.txt',
    data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
    num_input_frames=3,
    num_output_frames=1,
    test_mode=True,
    pipeline=[
        dict(type='LoadFrames', key='img'),
        dict(type='LoadFrames', key='gt'),
        dict(type='CheckScale', scale=4),
        dict(
            type='PackInputs',
            meta_keys=['key', 'img_path', 'img_channel_order', 'gt_channel_order'],
        ),
    ],
)
