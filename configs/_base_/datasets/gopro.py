# GoPro x4, test only: 1,111 frames in 11 clips; the first and the last frame of each
# clip are left out. The sharp HR frames are those of the official tree, the blurry LR
# ones its blurry frames, bicubically reduced by tools/dataset_converters/gopro.
#
# A config uses it instead of REDS, see fmanet_stage2_gopro.py.
gopro_dataloader = dict(
    _delete_=True,
    batch_size=1,
    num_workers=4,
    sampler=dict(type='ContiguousSampler'),
    dataset=dict(
        type='GoProVSRDBDataset',
        data_root='data/GoPro',
        ann_file='test.txt',
        data_prefix=dict(img='test_blur_bicubic/X4', gt='test/{clip}/sharp'),
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
    ),
)
gopro_evaluator = dict(
    metrics=[dict(type='VSRDBMetric', protocol='published', prefix='GoPro')]
)
