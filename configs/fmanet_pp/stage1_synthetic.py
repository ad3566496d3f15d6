# Stage 1 of FMA-Net++ on synthetic scenes, without any data on disk.
_base_ = ['stage1.py', '../_base_/datasets/synthetic_clips.py']
work_dir = 'work_dirs/fmanet_pp/stage1_synthetic'

ete = 'work_dirs/fmanet_pp/ete_synthetic/iter_20000.pth'
model = dict(exposure=dict(init_cfg=dict(checkpoint=ete)))
train_dataloader = dict(dataset=_base_.clips_train)
val_dataloader = dict(dataset=_base_.clips_val)
test_dataloader = val_dataloader
env_cfg = dict(mp_cfg=dict(opencv_num_threads=0))
