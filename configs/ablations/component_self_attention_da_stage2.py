# Self-attention instead of centre-oriented attention.
_base_ = '../fmanet_stage2.py'

stage1 = 'work_dirs/component_self_attention_stage1/iter_300000.pth'
model = dict(
    architecture=dict(centre_attention=dict(type='SelfAttention')),
    net_d=dict(init_cfg=dict(checkpoint=stage1)),
)
