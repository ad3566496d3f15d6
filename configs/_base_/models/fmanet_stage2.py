# Stage 2: NetR is added, 9.8 M parameters in all; the losses of stage 1 go on at a
# tenth of their weights.
model = dict(
    net_r=dict(
        type='NetR',
        channels=90,
        kernel_size=5,
        degradation_kernel_size=20,
        num_frames=3,
        scale=4,
        num_flows=9,
        num_blocks=4,
        num_attention_blocks=2,
        num_heads=6,
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
