# The network whose weights the project ships: 1.62 M parameters, conventional instead
# of flow-guided dynamic filtering.
demo_architecture = dict(
    channels=48,
    num_flows=6,
    num_blocks=2,
    num_attention_blocks=1,
    num_rdbs=4,
    growth_channels=16,
    num_dense_layers=3,
    degradation_kernel_size=12,
)
demo_net_d = dict(downsampling=dict(type='DynamicDownsampling'))
demo_net_r = dict(upsampling=dict(type='DynamicUpsampling'))
# A hundred times the published weight: the flow is learned in minutes, not days.
demo_flow_weight = 0.01
