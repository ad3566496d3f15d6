# RVRT (arXiv 2206.02146) with 192 channels, 12.9 M parameters, on windows of 15 frames.
# It learns to restore all of them; the centre one is measured. Videos are restored in
# complete clips.
_base_ = '../_base_/baseline.py'

model = dict(
    type='BasicVSR',
    generator=dict(
        type='RVRT',
        channels=192,
        num_heads=6,
        conv_groups=3,
        with_cp=True,
        spynet_pretrained='data/spynet_20210409-c6c1bd09.pth',
    ),
    pixel_loss=dict(type='CharbonnierLoss'),
    # Iterations in which the pretrained flow is kept.
    train_cfg=dict(fix_iter=5000),
)
restorer = dict(_delete_=True, type='SequenceRestorer', scale=4)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(spynet=dict(lr_mult=0.25))))
find_unused_parameters = True

window = dict(num_input_frames=15)
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
