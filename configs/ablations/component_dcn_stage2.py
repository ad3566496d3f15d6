# Deformable convolution instead of the multi-flow warp.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_dcn_stage1/iter_300000.pth'
model = dict(
    architecture=dict(alignment=dict(type='DeformableAlignment')),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
