# Conventional dynamic filtering, k_d = 10.
_base_ = '../fmanet_stage1.py'

model = dict(
    architecture=dict(degradation_kernel_size=10),
    net_d=dict(downsampling=dict(type='DynamicDownsampling')),
)
