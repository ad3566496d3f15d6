# Windows of 7 frames, T = 7, in 126 channels: 90 is no multiple of 7.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/window_t7_stage1/iter_300000.pth'
model = dict(
    architecture=dict(num_frames=7, channels=126),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)

# The measured frames stay the same: all but the first and the last of a clip.
window = dict(num_input_frames=7)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.reds_train, **window),
            dict(_base_.reds_val_as_train, **window),
        ]
    )
)
val_dataloader = dict(dataset=dict(border='replicate', **window))
test_dataloader = val_dataloader
