# Self-attention instead of centre-oriented attention. Stage 2 with SFT and the one with
# degradation-aware attention start from it.
_base_ = '../fmanet_stage1.py'

model = dict(net_d=dict(centre_attention=dict(type='SelfAttentionHalf')))
