# Conventional dynamic filtering, k_d = 20.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        downsampling=dict(type='DynamicDownsampling'),
        init_cfg=dict(
            checkpoint='work_dirs/filter_conventional_kd20_stage1/iter_300000.pth'
        ),
    ),
    net_r=dict(upsampling=dict(type='DynamicUpsampling')),
)
