# Self-attention instead of centre-oriented attention. Stage 2 starts from it both with
# SFT and with degradation-aware attention.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(centre_attention=dict(type='SelfAttention')))
