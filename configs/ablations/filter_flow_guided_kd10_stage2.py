# Flow-guided dynamic filtering, k_d = 10.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        kernel_size=10,
        init_cfg=dict(
            checkpoint='work_dirs/filter_flow_guided_kd10_stage1/iter_300000.pth'
        ),
    ),
    net_r=dict(degradation_kernel_size=10),
)
