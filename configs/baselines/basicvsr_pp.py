# BasicVSR++ (arXiv 2104.13371), 7.3 M parameters, on windows of 15 frames. It learns to
# restore all of them; the centre one is measured.
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
    type='BasicVSR',
    generator=dict(
        type='BasicVSRPlusPlusNet',
        mid_channels=64,
        num_blocks=7,
        is_low_res_input=True,
        spynet_pretrained='https://download.openmmlab.com/mmediting/restorers/basicvsr/spynet_20210409-c6c1bd09.pth',
    ),
    pixel_loss=dict(type='CharbonnierLoss', loss_weight=1.0, reduction='mean'),
    # Iterations in which the pretrained flow stays as it is.
    train_cfg=dict(fix_iter=5000),
    data_preprocessor=_base_.model.data_preprocessor,
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(spynet=dict(lr_mult=0.25))))
find_unused_parameters = True

train_dataloader = _base_.train_dataloader
train_dataloader.dataset.datasets[0].num_input_frames = 15
train_dataloader.dataset.datasets[0].num_output_frames = None
train_dataloader.dataset.datasets[1].num_input_frames = 15
train_dataloader.dataset.datasets[1].num_output_frames = None
val_dataloader = dict(dataset=dict(num_input_frames=15, border='replicate'))
test_dataloader = val_dataloader
