# EDVR-M (arXiv 1905.02716), 3.3 M parameters, trained as a whole from the start.
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
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
    pixel_loss=dict(type='CharbonnierLoss', loss_weight=1.0, reduction='mean'),
    # Iterations in which the attention alone is trained.
    train_cfg=dict(tsa_iter=0),
    data_preprocessor=_base_.model.data_preprocessor,
)

train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].num_input_frames = 5
train_dataloader.dataset.datasets[1].num_input_frames = 5
val_dataloader = dict(dataset=dict(num_input_frames=5, border='replicate'))
test_dataloader = val_dataloader
