# Stage 1 of fine-tuning on a small data set of one's own in data/mini: NetD learns how
# this footage is degraded.
#
# Starts from the demo's weights; tools/train.py --from names others. The architecture
# is that of the paper, unless the weights are an exported file, which brings its own.
_base_ = ['fmanet_stage1_mini.py', '_base_/schedules/finetune.py']

load_from = '{{ fileDirname }}/demo/fmanet_demo.safetensors'

# Held-out windows, and some that are trained on: once the PSNR of the latter rises
# while that of the former falls, the network is overfitting.
val_dataloader = [
    _base_.val_dataloader,
    dict(
        _base_.val_dataloader,
        sampler=dict(type='ContiguousSampler', at_most=8),
        dataset=dict(
            _base_.val_dataloader.dataset,
            ann_file='train.txt',
            data_prefix=dict(img='train_blur_bicubic/X4', gt='train_sharp'),
        ),
    ),
]
val_evaluator = [
    _base_.val_evaluator,
    dict(
        type='Evaluator',
        metrics=[dict(type='PSNR', gt_key='blurry_img', prefix='Trained')],
    ),
]
train_cfg = dict(max_iters=200, val_interval=50)
param_scheduler = [
    _base_.finetune_warm_up,
    dict(_base_.param_scheduler, milestones=[140, 170, 190]),
]
optim_wrapper = _base_.finetune_optim_wrapper
default_hooks = _base_.finetune_hooks
