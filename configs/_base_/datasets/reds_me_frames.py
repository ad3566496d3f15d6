# Single blurry frames of REDS-ME, for learning to distinguish exposures: two random
# views of each in training, 100 complete frames of REDS4 at each level in validation.
_base_ = 'reds_me.py'

load_blurry = dict(type='LoadFrames', key='img')
blurry = dict(img='train_blur_bicubic/X4')
views = [load_blurry, dict(type='RandomViews', patch_size=64), _base_.pack_clip]
single_frames = dict(clip_length=1, pipeline=views)
me_frames_train = dict(_base_.me_train, data_prefix=blurry, **single_frames)
me_frames_val_as_train = dict(
    _base_.me_val_as_train, data_prefix=blurry, **single_frames
)

train_dataloader = dict(
    batch_size=128, dataset=dict(datasets=[me_frames_train, me_frames_val_as_train])
)
val_dataloader = dict(
    sampler=dict(at_most=500),
    dataset=dict(
        levels=[1, 2, 3, 4, 5],
        data_prefix=dict(_delete_=True, **blurry),
        clip_length=1,
        clip_stride=1,
        pipeline=[load_blurry, _base_.pack_clip],
    ),
)
test_dataloader = val_dataloader
