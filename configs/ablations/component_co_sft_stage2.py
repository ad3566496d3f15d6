# SFT instead of degradation-aware attention. NetD has neither: it is that of
# fmanet_stage1.py.
_base_ = '../fmanet_stage2.py'

model = dict(net_r=dict(degradation_attention=dict(type='GuidedModulation')))
