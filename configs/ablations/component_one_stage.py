# End to end in one stage: NetD is not trained first.
_base_ = '../fmanet_stage2.py'

model = dict(net_d=dict(init_cfg=None))
