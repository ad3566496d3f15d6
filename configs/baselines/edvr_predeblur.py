# EDVR-L (arXiv 1905.02716) with pre-deblurring, 23.3 M parameters: the network of
# BasicSR's EDVR_L_x4_SRblur_REDS, see tools/model_converters/convert_edvr.py.
_base_ = 'edvr.py'

model = dict(
    type='BaseEditModel',
    generator=dict(
        _delete_=True,
        type='PredeblurEDVR',
        channels=128,
        num_frames=5,
        deform_groups=8,
        num_extraction_blocks=5,
        num_reconstruction_blocks=40,
    ),
    train_cfg=None,
)
restorer = dict(_delete_=True, type='StreamingRestorer')
