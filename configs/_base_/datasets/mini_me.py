# A small data set in the layout of REDS-ME in data/mini_me, made from video by
# tools/dataset_converters/reds_me with --cut and --held-out, with its flow. A config
# uses it instead of REDS-ME, see fmanet_pp/stage1_mini.py.
mini_train = dict(
    _delete_=True,
    type='REDSMEDataset',
    data_root='data/mini_me',
    ann_file='train.txt',
    data_prefix=dict(
        img='train_blur_bicubic/X4', gt='train_sharp', flow='train_flow/X4'
    ),
    clip_length=10,
)
# Changes to REDS4.
mini_val = dict(
    subset='all',
    data_root='data/mini_me',
    ann_file='val.txt',
    data_prefix=dict(img='val_blur_bicubic/X4', gt='val_sharp'),
    clip_length=None,
)
