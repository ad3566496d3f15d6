# The demo's twin with flow-guided filters, which is what the paper is named after.
_base_ = 'demo_stage2.py'

stage1 = 'work_dirs/demo_flow_guided_stage1/iter_3441.pth'
model = dict(
    net_d=dict(downsampling=None, init_cfg=dict(checkpoint=stage1)),
    net_r=dict(upsampling=None),
)
