# The tiny network and the short training of the quick start, minutes on two CPU cores.
tiny = dict(
    channels=24,
    num_flows=4,
    num_blocks=2,
    num_attention_blocks=1,
    num_heads=4,
    num_rdbs=3,
    growth_channels=8,
    num_dense_layers=3,
    degradation_kernel_size=12,
)

quick_loading = dict(batch_size=4, num_workers=1)
quick_optimizer = dict(lr=1e-3)
quick_logging = dict(logger=dict(interval=20))
# A hundred times the published weight: the flow is learned in minutes, not days.
quick_flow_weight = 0.01
