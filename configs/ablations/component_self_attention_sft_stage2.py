# Self-attention, and SFT instead of degradation-aware attention.
_base_ = '../fmanet_stage2.py'

model = dict(
    net_d=dict(
        centre_attention=dict(type='SelfAttentionHalf'),
        init_cfg=dict(
            checkpoint='work_dirs/component_self_attention_stage1/iter_300000.pth'
        ),
    ),
    net_r=dict(
        centre_attention=dict(type='SelfAttentionHalf'),
        degradation_attention=dict(type='ModulationHalf'),
    ),
)
