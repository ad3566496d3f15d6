# A small data set in the layout of REDS in data/mini, made from any video by
# tools/dataset_converters/video_to_vsrdb.py, with its flow. A config uses it instead of
# REDS, see fmanet_stage1_mini.py, and adds the pipeline.
mini_train = dict(
    _delete_=True,
    type='REDSVSRDBDataset',
    data_root='data/mini',
    ann_file='train.txt',
    data_prefix=dict(
        img='train_blur_bicubic/X4',
        gt='train_sharp',
        img_sharp='train_sharp_bicubic/X4',
        flow='train_flow/X4',
    ),
    num_input_frames=3,
)
# Changes to REDS4.
mini_val = dict(
    subset='all',
    data_root='data/mini',
    ann_file='val.txt',
    data_prefix=dict(img='val_blur_bicubic/X4', gt='val_sharp'),
)
