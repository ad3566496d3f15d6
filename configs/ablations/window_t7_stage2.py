# Windows of 7 frames, T = 7, in 126 channels: 90 is no multiple of 7.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        num_frames=7,
        channels=126,
        init_cfg=dict(checkpoint='work_dirs/window_t7_stage1/iter_300000.pth'),
    ),
    net_r=dict(num_frames=7, channels=126),
)

train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].num_input_frames = 7
train_dataloader.dataset.datasets[1].num_input_frames = 7
# What is measured stays the same: all frames but the first and the last of a clip.
val_dataloader = dict(dataset=dict(num_input_frames=7, border='replicate'))
test_dataloader = val_dataloader
