# Stage 2 on REDS: NetR joins, 9.8 M parameters in all, and both nets are trained. The
# losses of stage 1 keep a tenth of their weights.
_base_ = 'fmanet_stage1.py'

model = dict(
    type='FMANet',
    # The default of tools/train.py --stage1.
    net_d=dict(
        init_cfg=dict(
            type='StrictPretrained',
            checkpoint='work_dirs/fmanet_stage1/iter_300000.pth',
            prefix='net_d.',
        )
    ),
    losses=dict(
        recon=dict(loss_weight=0.1),
        hr_warp=dict(loss_weight=0.01),
        flow=dict(loss_weight=1e-5),
        ta_d=dict(loss_weight=0.01),
        restoration=dict(type='L1Loss', loss_weight=1.0),
        lr_warp=dict(type='L1Loss', loss_weight=0.1),
        ta_r=dict(type='L1Loss', loss_weight=0.1),
    ),
)

# The restored frame is compared with the sharp HR centre frame: in validation by cheap
# measures, in testing by the published ones, see fmanet_mm/evaluation.
val_dataloader = dict(dataset=dict(num_output_frames=1))
test_dataloader = val_dataloader
val_evaluator = dict(
    metrics=[
        dict(type='PSNR', crop_border=4),
        dict(type='SSIM', crop_border=4),
    ]
)
test_evaluator = dict(metrics=[dict(type='VSRDBMetric', protocol='published')])
default_hooks = dict(checkpoint=dict(save_best='PSNR'))
