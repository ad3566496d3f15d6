# Conventional instead of flow-guided dynamic filtering.
_base_ = 'tiny_stage2.py'

stage1 = 'work_dirs/tiny_conventional_stage1/iter_1000.pth'
model = dict(
    net_d=dict(
        downsampling=dict(type='DynamicDownsampling'),
        init_cfg=dict(checkpoint=stage1),
    ),
    net_r=dict(upsampling=dict(type='DynamicUpsampling')),
)
