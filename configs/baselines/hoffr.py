# A reconstruction of HOFFR (Neurocomputing 489, 2022), 3.5 M parameters; its text and
# weights are not public. Known are its parts, which losses it has, and the training on
# sequences of 8 frames; sizes and weights of the losses are ours. Figures measured with
# it are not HOFFR's.
_base_ = '../_base_/baseline.py'

model = dict(
    _delete_=True,
    type='HOFFRModel',
    generator=dict(type='HOFFR', num_blocks=14, num_attention_blocks=4),
    losses=dict(
        restoration=dict(type='MSELoss'),
        deblurring=dict(type='MSELoss'),
        flow_high=dict(type='MSELoss', loss_weight=0.01),
        flow_low=dict(type='MSELoss', loss_weight=0.0025),
        flow_half=dict(type='MSELoss', loss_weight=0.00125),
    ),
    data_preprocessor=_base_.model.data_preprocessor,
)
restorer = dict(_delete_=True, type='RecurrentRestorer', multiple=2)

window = dict(num_input_frames=9)
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
