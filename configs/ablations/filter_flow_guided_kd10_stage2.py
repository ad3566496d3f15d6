# Flow-guided dynamic filtering, k_d = 10.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/filter_flow_guided_kd10_stage1/iter_300000.pth'
model = dict(
    architecture=dict(degradation_kernel_size=10),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
