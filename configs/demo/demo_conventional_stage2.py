# The same with conventional instead of flow-guided dynamic filtering.
_base_ = 'demo_stage2.py'

model = dict(
    net_d=dict(
        downsampling=dict(type='DynamicDownsampling'),
        init_cfg=dict(checkpoint='work_dirs/demo_conventional_stage1/iter_1000.pth'),
    ),
    net_r=dict(upsampling=dict(type='DynamicUpsampling')),
)
