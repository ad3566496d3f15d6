# Without the losses of RAFT and of the temporal anchor; the heads of the latter get
# no gradients.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_no_raft_ta_stage1/iter_300000.pth'
model = dict(
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
    losses=dict(flow=None, ta_d=None, ta_r=None),
)
find_unused_parameters = True
