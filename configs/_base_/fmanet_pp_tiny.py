# A tiny FMA-Net++ and its short training on small synthetic clips: minutes on a CPU.
tiny_pp = dict(
    channels=24,
    num_flows=4,
    num_blocks=2,
    num_attention_blocks=1,
    num_heads=4,
    num_rdbs=3,
    growth_channels=8,
    num_dense_layers=3,
    modulation_channels=16,
    degradation_kernel_size=12,
)
tiny_clips = dict(size=(32, 32), clip_length=5, motion=(1.0, 5.0))
tiny_val_clips = dict(motion=(1.0, 5.0), walking=True, size=(64, 64))
tiny_optimizer = dict(lr=1e-3)
# A hundred times the published weights: flow is learned in minutes, not days.
tiny_flow_weight = 0.01
