# STFAN (arXiv 1904.12257), 5.4 M parameters, on frames enlarged bicubically: the
# published network, which keeps the size of its frames. Training can start (load_from)
# from its released weights, converted by tools/model_converters/convert_stfan.py.
#
# The published training, on sequences of 20 frames, updates the weights after every
# frame; here there is an update per window, by the mean over its frames. Gradients stay
# within a frame in both. It also has a perceptual loss, which needs weights of VGG19:
# --cfg-options model.losses.perceptual.type=VGGFeatureLoss
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
    type='RecurrentModel',
    generator=dict(type='STFANOnBicubic', scale=4, with_cp=True),
    losses=dict(restoration=dict(type='MSELoss')),
    data_preprocessor=_base_.model.data_preprocessor,
)
restorer = dict(_delete_=True, type='RecurrentRestorer')

window = dict(num_input_frames=21)
all_frames = dict(num_output_frames=None, **window)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(_base_.baseline_train, **all_frames),
            dict(_base_.baseline_val_as_train, **all_frames),
        ]
    )
)
val_dataloader = dict(dataset=dict(border='replicate', **window))
test_dataloader = val_dataloader
