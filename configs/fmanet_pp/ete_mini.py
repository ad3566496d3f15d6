# The exposure extractor on a small data set of one's own in data/mini_me.
_base_ = ['ete.py', '../_base_/datasets/mini_me.py']
work_dir = 'work_dirs/fmanet_pp/ete_mini'

train_dataloader = dict(
    dataset=dict(_base_.mini_train, data_prefix=_base_.blurry, **_base_.single_frames)
)
val_dataloader = dict(
    dataset=dict(
        subset='all',
        data_root='data/mini_me',
        ann_file='val.txt',
        data_prefix=dict(img='val_blur_bicubic/X4'),
    )
)
test_dataloader = val_dataloader
