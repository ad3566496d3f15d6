# Stage 2 of fine-tuning on a small data set of one's own in data/mini: both nets learn
# to restore this footage.
#
# Starts from the demo's weights; tools/train.py --from names others, and --stage1 a
# fine-tuned stage 1 for NetD. For the architecture see finetune_stage1.py.
_base_ = ['fmanet_stage2_mini.py', '_base_/schedules/finetune.py']

load_from = '{{ fileDirname }}/demo/fmanet_demo.safetensors'

# Held-out windows, and windows that are trained on, see finetune_stage1.py.
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
        metrics=[dict(type='PSNR', crop_border=4, prefix='Trained')],
    ),
]
train_cfg = dict(max_iters=400, val_interval=50)
param_scheduler = [
    _base_.finetune_warm_up,
    dict(_base_.param_scheduler, milestones=[280, 340, 380]),
]
optim_wrapper = _base_.finetune_optim_wrapper
default_hooks = _base_.finetune_hooks
