# Conventional dynamic filtering, k_d = 30.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/filter_conventional_kd30_stage1/iter_300000.pth'
model = dict(
    architecture=dict(degradation_kernel_size=30),
    net_d=dict(
        downsampling=dict(type='DynamicDownsampling'),
        init_cfg=dict(checkpoint=stage1),
    ),
    net_r=dict(upsampling=dict(type='DynamicUpsampling')),
)
