# A Restormer for windows of about the same size, trained on the same scenes for as many
# iterations as both stages together.
_base_ = 'tiny_stage2.py'

model = dict(
    _delete_=True,
    type='BaseEditModel',
    generator=dict(
        type='WindowRestormer',
        num_frames=3,
        scale=4,
        dim=12,
        num_blocks=[1, 1, 1, 2],
        num_refinement_blocks=1,
        tail_channels=12,
    ),
    pixel_loss=dict(type='L1Loss'),
    data_preprocessor=_base_.model.data_preprocessor,
)
train_dataloader = dict(dataset=dict(num_output_frames=1))
train_cfg = dict(max_iters=2200, val_interval=2200)
param_scheduler = dict(milestones=[1540, 1870, 2090])
