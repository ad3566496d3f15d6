# EDVR-L (arXiv 1905.02716) with pre-deblurring, 23.3 M parameters: the network of
# BasicSR's EDVR_L_x4_SRblur_REDS, see tools/model_converters/convert_edvr.py.
_base_ = '../_base_/baseline.py'

model = dict(
    generator=dict(
        type='PredeblurEDVR',
        channels=128,
        num_frames=5,
        deform_groups=8,
        num_extraction_blocks=5,
        num_reconstruction_blocks=40,
    ),
    pixel_loss=dict(type='CharbonnierLoss'),
)
restorer = dict(_delete_=True, type='StreamingRestorer')

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
