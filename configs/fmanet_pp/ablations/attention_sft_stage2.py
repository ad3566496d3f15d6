# Features are scaled and shifted by the degradation instead of attended to (SFT instead
# of degradation-aware attention). NetD is that of ../stage1.py.
_base_ = '../stage2.py'
work_dir = 'work_dirs/fmanet_pp/ablations/attention_sft_stage2'

model = dict(net_r=dict(degradation_attention=dict(type='GuidedModulation')))
