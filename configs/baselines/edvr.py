# EDVR-M (arXiv 1905.02716), 3.3 M parameters, all trained from scratch.
_base_ = '../_base_/baseline.py'

model = dict(
    type='EDVR',
    generator=dict(
        type='EDVRNet',
        in_channels=3,
        out_channels=3,
        mid_channels=64,
        num_frames=5,
        deform_groups=8,
        num_blocks_extraction=5,
        num_blocks_reconstruction=10,
        center_frame_idx=2,
        with_tsa=True,
    ),
    pixel_loss=dict(type='CharbonnierLoss'),
    # Iterations in which the attention alone is trained.
    train_cfg=dict(tsa_iter=0),
)
restorer = dict(num_frames=5, multiple=4)

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
