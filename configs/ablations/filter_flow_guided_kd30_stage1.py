# Flow-guided dynamic filtering, k_d = 30.
_base_ = '../fmanet_stage1.py'

model = dict(architecture=dict(degradation_kernel_size=30))
