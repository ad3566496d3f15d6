# The network of FMA-Net++ (arXiv 2512.04390). In stage 1, NetD alone learns the
# degradation; the exposure extractor is frozen. What the paper leaves open is explained
# in docs/fmanet_pp.md.
model = dict(
    type='FMANetPPStage1',
    # Sizes of both nets, in both stages.
    architecture=dict(
        channels=90,
        scale=4,
        num_flows=9,
        num_blocks=4,
        num_attention_blocks=3,
        num_heads=6,
        modulation_channels=64,
        degradation_kernel_size=20,
        ends='replicate',
        temporal='hierarchical',
    ),
    exposure=dict(
        type='ExposureExtractor',
        width=64,
        num_stages=3,
        # The default of tools/train.py --exposure.
        init_cfg=dict(
            type='StrictPretrained',
            checkpoint='work_dirs/fmanet_pp/ete/iter_20000.pth',
            prefix='exposure_net.',
        ),
    ),
    losses=dict(
        recon=dict(type='L1Loss', loss_weight=1.0),
        hr_warp=dict(type='L1Loss', loss_weight=1e-4),
        flow=dict(type='L1Loss', loss_weight=1e-4),
    ),
    data_preprocessor=dict(
        type='VSRDBDataPreprocessor',
        mean=[0.0, 0.0, 0.0],
        std=[255.0, 255.0, 255.0],
        output_channel_order='RGB',
        data_keys=['gt_img'],
    ),
)
