# Stage 1 on REDS: NetD learns motion and degradation. Its validation measures how well
# it reproduces the blurry low-resolution frames from the sharp ones.
_base_ = [
    '_base_/default_runtime.py',
    '_base_/models/fmanet_stage1.py',
    '_base_/datasets/reds.py',
    '_base_/schedules/adam_300k.py',
]

default_hooks = dict(checkpoint=dict(save_best='Reconstruction/PSNR'))
