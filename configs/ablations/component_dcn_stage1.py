# Deformable convolution instead of the multi-flow warp.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(alignment=dict(type='DeformableAlignment')))
