# TDAN (arXiv 1812.02898), 2.0 M parameters, with a loss on the frames that it aligns.
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
    type='TDAN',
    generator=dict(
        type='TDANNet',
        in_channels=3,
        mid_channels=64,
        out_channels=3,
        num_blocks_before_align=5,
        num_blocks_after_align=10,
    ),
    pixel_loss=dict(type='MSELoss', loss_weight=1.0, reduction='mean'),
    lq_pixel_loss=dict(type='MSELoss', loss_weight=0.01, reduction='mean'),
    data_preprocessor=_base_.model.data_preprocessor,
)

train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].num_input_frames = 5
train_dataloader.dataset.datasets[1].num_input_frames = 5
val_dataloader = dict(dataset=dict(num_input_frames=5, border='replicate'))
test_dataloader = val_dataloader
