# Without the temporal-anchor loss; its heads get no gradients.
_base_ = '../fmanet_stage1.py'

model = dict(losses=dict(ta_d=None))
find_unused_parameters = True
