# The exposure extractor (ETE, 2.8 M parameters) learns to tell five levels of exposure
# apart from single frames, by supervised contrastive learning. Validation: accuracy of
# nearest neighbours on REDS4. Start it in one process: the loss and the statistics of
# normalisation are those of the frames that a process has.
#
# The number of iterations and the milestones are ours; the paper trains at lr 0.01 with
# batches of 128, here two views each.
_base_ = [
    '../_base_/default_runtime.py',
    '../_base_/models/fmanet_pp.py',
    '../_base_/datasets/reds_me.py',
    '../_base_/schedules/adam_280k.py',
]
work_dir = 'work_dirs/fmanet_pp/ete'

model = dict(
    _delete_=True,
    type='FMANetPPExposure',
    exposure=dict(_base_.model.exposure, init_cfg=None),
    losses=dict(contrastive=dict(type='SupervisedContrastiveLoss', temperature=0.5)),
    data_preprocessor=_base_.model.data_preprocessor,
)

load_blurry = dict(type='LoadFrames', key='img')
blurry = dict(img='train_blur_bicubic/X4')
views = [load_blurry, dict(type='RandomViews', patch_size=64), _base_.pack_clip]
single_frames = dict(clip_length=1, pipeline=views)
single = dict(data_prefix=blurry, **single_frames)
train_dataloader = dict(
    batch_size=128,
    dataset=dict(
        datasets=[
            dict(_base_.me_train, **single),
            dict(_base_.me_val_as_train, **single),
        ]
    ),
)
val_dataloader = dict(
    # 100 frames of each level, as in the paper.
    sampler=dict(at_most=500),
    dataset=dict(
        levels=[1, 2, 3, 4, 5],
        data_prefix=dict(_delete_=True, **blurry),
        clip_length=1,
        clip_stride=1,
        pipeline=[load_blurry, _base_.pack_clip],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Evaluator', metrics=[dict(type='ExposureKNNAccuracy')])
test_evaluator = val_evaluator

train_cfg = dict(max_iters=20_000, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=0.01))
param_scheduler = dict(milestones=[14_000, 17_000, 19_000])
auto_scale_lr = dict(base_batch_size=128)
default_hooks = dict(checkpoint=dict(save_best='kNN/accuracy'))
