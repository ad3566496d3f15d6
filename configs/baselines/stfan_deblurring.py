# STFAN as published: video deblurring, x1, here on the blurry HR frames of REDS. The
# released weights fit it, converted by tools/model_converters/convert_stfan.py.
_base_ = 'stfan_bicubic.py'

model = dict(generator=dict(_delete_=True, type='STFAN', with_cp=True))
restorer = dict(multiple=4)

same_size = dict(type='VSRDBRandomCrop', patch_size=256, scale=1)
deblurring = dict(
    pipeline=[
        *_base_.load_frames,
        same_size,
        _base_.random_flip,
        _base_.pack_frames,
    ],
    **_base_.all_frames,
)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(
                _base_.baseline_train,
                data_prefix=dict(img='train_blur', gt='train_sharp'),
                **deblurring,
            ),
            dict(
                _base_.baseline_val_as_train,
                data_prefix=dict(img='val_blur', gt='val_sharp'),
                **deblurring,
            ),
        ]
    )
)
val_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train_blur'),
        pipeline=[
            *_base_.load_frames,
            dict(type='CheckScale', scale=1),
            _base_.pack_frames,
        ],
    )
)
test_dataloader = val_dataloader
