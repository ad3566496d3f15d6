# TDAN (arXiv 1812.02898), 2.0 M parameters, with a loss on the frames that it aligns.
_base_ = '../_base_/baseline.py'

model = dict(
    type='TDAN',
    generator=dict(
        type='TDANNet',
        in_channels=3,
        mid_channels=64,
        out_channels=3,
        num_blocks_before_align=5,
        num_blocks_after_align=10,
    ),
    pixel_loss=dict(type='MSELoss'),
    lq_pixel_loss=dict(type='MSELoss', loss_weight=0.01, reduction='mean'),
)
restorer = dict(num_frames=5)

window = dict(num_input_frames=5)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.baseline_train, **window),
            dict(_base_.baseline_val_as_train, **window),
        ]
    )
)
val_dataloader = dict(dataset=dict(border='replicate', **window))
test_dataloader = val_dataloader
