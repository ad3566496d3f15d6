# The exposure extractor on synthetic scenes, without any data on disk.
_base_ = ['ete.py', '../_base_/datasets/synthetic_clips.py']
work_dir = 'work_dirs/fmanet_pp/ete_synthetic'

views = [dict(type='RandomViews', patch_size=64), _base_.clips_pack]
train_dataloader = dict(dataset=dict(_base_.clips_train, clip_length=1, pipeline=views))
val_dataloader = dict(
    dataset=dict(_base_.clips_val, levels=[1, 2, 3, 4, 5], clip_length=1, length=500)
)
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
