# Without the losses of RAFT and of the temporal anchor; the heads of the latter get
# no gradients.
_base_ = '../fmanet_stage1.py'

model = dict(losses=dict(flow=None, ta_d=None))
find_unused_parameters = True
