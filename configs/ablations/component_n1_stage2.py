# A single flow-mask pair, n = 1.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        num_flows=1,
        init_cfg=dict(checkpoint='work_dirs/component_n1_stage1/iter_300000.pth'),
    ),
    net_r=dict(num_flows=1),
)
