# Stage 1 on REDS: NetD (3.2 M parameters) learns motion and degradation. Validation
# measures how well it reproduces the blurry low-resolution frames from the sharp ones.
_base_ = [
    '_base_/default_runtime.py',
    '_base_/models/fmanet.py',
    '_base_/datasets/reds.py',
    '_base_/schedules/adam_300k.py',
]

default_hooks = dict(checkpoint=dict(save_best='Reconstruction/PSNR'))
