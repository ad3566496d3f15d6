# Deformable convolution instead of the multi-flow warp.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        alignment=dict(type='DeformableAlignment'),
        init_cfg=dict(checkpoint='work_dirs/component_dcn_stage1/iter_300000.pth'),
    ),
    net_r=dict(alignment=dict(type='DeformableAlignment')),
)
