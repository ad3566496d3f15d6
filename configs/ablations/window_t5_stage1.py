# Windows of 5 frames, T = 5.
_base_ = '../fmanet_stage1.py'

model = dict(net_d=dict(num_frames=5))

train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].num_input_frames = 5
train_dataloader.dataset.datasets[1].num_input_frames = 5
# What is measured stays the same: all frames but the first and the last of a clip.
val_dataloader = dict(dataset=dict(num_input_frames=5, border='replicate'))
test_dataloader = val_dataloader
