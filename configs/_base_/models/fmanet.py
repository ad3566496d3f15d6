# The network of the paper. In stage 1, NetD alone learns the degradation (Section 3.6).
model = dict(
    type='FMANetStage1',
    # Sizes of both nets, in both stages.
    architecture=dict(
        channels=90,
        num_frames=3,
        scale=4,
        num_flows=9,
        num_blocks=4,
        num_attention_blocks=2,
        num_heads=6,
        degradation_kernel_size=20,
        restoration_kernel_size=5,
    ),
    losses=dict(
        recon=dict(type='L1Loss', loss_weight=1.0),
        hr_warp=dict(type='L1Loss', loss_weight=0.1),
        flow=dict(type='L1Loss', loss_weight=1e-4),
        ta_d=dict(type='L1Loss', loss_weight=0.1),
    ),
    data_preprocessor=dict(
        type='VSRDBDataPreprocessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        output_channel_order='RGB',
        data_keys=['gt_img', 'img_sharp'],
    ),
)
