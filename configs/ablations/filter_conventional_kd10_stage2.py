# Conventional dynamic filtering, k_d = 10.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        kernel_size=10,
        downsampling=dict(type='DynamicDownsampling'),
        init_cfg=dict(
            checkpoint='work_dirs/filter_conventional_kd10_stage1/iter_300000.pth'
        ),
    ),
    net_r=dict(degradation_kernel_size=10, upsampling=dict(type='DynamicUpsampling')),
)
